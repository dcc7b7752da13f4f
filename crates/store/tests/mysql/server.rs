//! A server that refuses, in the ways that servers refuse. None of them is an order's fault: every
//! call says that it may be repeated, and repeated when the server is well again it succeeds.

use std::sync::Arc;
use std::time::Duration;

use domain::{CellId, Payload};
use runtime::Secret;
use runtime::clock::system_clock;
use sea_orm::{Database, DatabaseConnection};
use sluicegate_store::{
    Init, LedgerRead, LedgerWrite, OrdersRead, OrdersWrite, Shards, SqlStore, StoreConfig,
    StoreError, Verdicts,
};
use testkit::own::Own;
use testkit::store::make::{asks, one_line, row};

use crate::identity;

/// A database of one test on `mariadb-1`, a user of its own, and a cell with 1,000 units.
struct Shop {
    own: Own,
    user: String,
    url: String,
    cell: CellId,
}

impl Shop {
    async fn open() -> Self {
        let own = Own::create().await.unwrap();
        let database = own.name(0);
        let user = format!("u_{}", &database[database.len() - 12..]);
        let account = format!("'{user}'@'127.0.0.1'");
        own.root(0, &format!("CREATE USER {account} IDENTIFIED BY 'first'")).await.unwrap();
        own.root(0, &format!("GRANT ALL ON `{database}`.* TO {account}")).await.unwrap();
        let url = own.url_as(0, &format!("{user}:first")).unwrap();
        let cell = "refused".parse::<domain::OfferId>().unwrap().cell(0);
        let shop = Self { own, user, url, cell };
        let store = shop.store();
        store.init(&identity().fingerprint_hex()).await.unwrap();
        let id = |n| identity().request_id(&shop.cell.offer, "test", n);
        let cells = [(shop.cell.clone(), 1000)];
        store.create_cells(&cells, (id("1"), id("2"))).await.unwrap();
        shop
    }

    /// A process that has just started.
    fn store(&self) -> Arc<SqlStore> {
        self.with(4, Duration::from_millis(700))
    }

    fn with(&self, connections: u32, timeout: Duration) -> Arc<SqlStore> {
        let databases = vec![self.url.clone()];
        let cfg = StoreConfig { databases, password: Secret::None, connections, timeout };
        Arc::new(SqlStore::new(&cfg, identity(), system_clock()).unwrap())
    }

    async fn account(&self, what: &str) {
        let sql = format!("ALTER USER '{}'@'127.0.0.1' {what}", self.user);
        self.own.root(0, &sql).await.unwrap();
    }

    async fn close(self) {
        let sql = format!("DROP USER '{}'@'127.0.0.1'", self.user);
        self.own.root(0, &sql).await.unwrap();
        self.own.drop_all().await.unwrap();
    }

    fn order(&self, n: usize) -> Payload {
        one_line(&identity(), &self.cell, (&format!("buyer-{n}"), "k"))
    }

    /// Decides an order and writes its row, as a writer does.
    async fn buy(&self, store: &SqlStore, n: usize) -> Result<(), StoreError> {
        let p = self.order(n);
        store.verdicts(&[asks(&self.cell, std::slice::from_ref(&p))]).await?;
        store.rows(0, &[row(&p)]).await.map(drop)
    }

    /// The order fails with an error that says "again", as often as it is tried.
    async fn refused(&self, store: &SqlStore, n: usize, why: &str) {
        for _ in 0..2 {
            let done = self.buy(store, n).await;
            let transient = matches!(&done, Err(StoreError::Transient { .. }));
            assert!(transient, "{why}: {done:?}");
        }
    }

    /// What was refused is bought, once.
    async fn bought(&self, store: &SqlStore, n: usize, why: &str) {
        let seen = async || {
            self.buy(store, n).await?;
            let head = store.head(&self.cell).await?;
            Ok::<_, StoreError>((head, store.order(self.order(n).order).await?))
        };
        for _ in 0..40 {
            match seen().await {
                Ok((head, row)) => {
                    let head = head.unwrap();
                    assert_eq!((head.net, head.seq), (n as i64, n as u64 + 2), "{why}");
                    assert!(row.is_some(), "{why}");
                    return;
                }
                Err(e) => assert!(e.is_transient(), "{why}: {e}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{why}: not in forty tries");
    }

    /// Connections of the product's user until the server takes no more.
    async fn crowd(&self) -> Vec<DatabaseConnection> {
        let mut all = Vec::new();
        for _ in 0..200 {
            let mut one = sea_orm::ConnectOptions::new(&self.url);
            one.max_connections(1).acquire_timeout(Duration::from_secs(1)).sqlx_logging(false);
            match Database::connect(one).await {
                Ok(conn) => all.push(conn),
                Err(_) => return all,
            }
        }
        panic!("the server takes any number of connections");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_blames_no_order() {
    let _disruption = testkit::stack::disrupt().unwrap();
    let shop = Shop::open().await;
    let mut n = 0;
    // (what the administrator does to the account or the server, and undoes)
    let accounts = [
        ("IDENTIFIED BY 'second'", "IDENTIFIED BY 'first'"),
        ("ACCOUNT LOCK", "ACCOUNT UNLOCK"),
        ("PASSWORD EXPIRE", "IDENTIFIED BY 'first' PASSWORD EXPIRE NEVER"),
        ("WITH MAX_QUERIES_PER_HOUR 1", "WITH MAX_QUERIES_PER_HOUR 0"),
        ("WITH MAX_UPDATES_PER_HOUR 1", "WITH MAX_UPDATES_PER_HOUR 0"),
        ("WITH MAX_CONNECTIONS_PER_HOUR 1", "WITH MAX_CONNECTIONS_PER_HOUR 0"),
    ];
    for (ill, well) in accounts {
        n += 1;
        shop.account(ill).await;
        let fresh = shop.store();
        // The first of an hour may be free.
        let _ = shop.buy(&fresh, n).await;
        if !ill.starts_with("WITH") {
            shop.refused(&fresh, n, ill).await;
        }
        shop.account(well).await;
        shop.own.root(0, "FLUSH USER_RESOURCES").await.unwrap();
        shop.bought(&shop.store(), n, ill).await;
        shop.bought(&fresh, n, ill).await;
    }
    let database = shop.own.name(0);
    let on = format!("ON `{database}`.*");
    let user = format!("'{}'@'127.0.0.1'", shop.user);
    let servers = [
        ("SET GLOBAL read_only = 1".to_owned(), "SET GLOBAL read_only = 0".to_owned()),
        (format!("REVOKE INSERT {on} FROM {user}"), format!("GRANT INSERT {on} TO {user}")),
        (format!("REVOKE ALL {on} FROM {user}"), format!("GRANT ALL {on} TO {user}")),
        (
            format!("RENAME TABLE {database}.ledger TO {database}.gone"),
            format!("RENAME TABLE {database}.gone TO {database}.ledger"),
        ),
        (
            "SET GLOBAL max_prepared_stmt_count = 0".to_owned(),
            "SET GLOBAL max_prepared_stmt_count = 16382".to_owned(),
        ),
    ];
    for (ill, well) in servers {
        n += 1;
        shop.own.root(0, &ill).await.unwrap();
        let fresh = shop.store();
        shop.refused(&fresh, n, &ill).await;
        shop.own.root(0, &well).await.unwrap();
        shop.bought(&fresh, n, &ill).await;
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_free_connection_blames_no_order() {
    let _disruption = testkit::stack::disrupt().unwrap();
    let shop = Shop::open().await;
    let before = shop.own.root_value(0, "SELECT @@max_connections").await.unwrap();
    shop.own.root(0, "SET GLOBAL max_connections = 10").await.unwrap();
    let crowd = shop.crowd().await;
    let late = shop.store();
    shop.refused(&late, 1, "too many connections").await;
    for one in crowd {
        one.close().await.unwrap();
    }
    shop.bought(&late, 1, "too many connections").await;
    shop.own.root(0, &format!("SET GLOBAL max_connections = {before}")).await.unwrap();
    shop.close().await;
}

/// More calls than a slow server has time for: they wait for a connection, and give up with words
/// that say so. None of them makes another connection: the server has enough to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_connections_make_no_new_ones() {
    let _calm = testkit::stack::calm().unwrap();
    let shop = Shop::open().await;
    let store = shop.with(2, Duration::from_millis(1600));
    assert!(store.ping(0).await);
    let lock = format!("SELECT * FROM cell WHERE cell_id = '{}' FOR UPDATE", shop.cell);
    let holder = shop.own.holds(0, &lock).await.unwrap();
    let sql =
        format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}'", shop.user);
    // Each waits a second for the lock, which is not yet its deadline.
    let calls = (0..12).map(|n| {
        let (store, cell) = (store.clone(), shop.cell.clone());
        let id = identity().request_id(&cell.offer, "test", &format!("more-{n}"));
        tokio::spawn(async move { store.supply(&[(cell, 1)], id).await })
    });
    let calls: Vec<_> = calls.collect();
    let (mut most, mut beyond) = (0, 0);
    while calls.iter().any(|c| !c.is_finished()) {
        let now = shop.own.root_value(0, &sql).await.unwrap().parse::<u32>().unwrap();
        most = most.max(now);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for call in calls {
        let done = call.await.unwrap();
        let told = done.as_ref().is_err_and(|e| e.to_string().contains("connections are in use"));
        assert!(told || matches!(done, Err(StoreError::Busy { .. })), "{done:?}");
        beyond += u32::from(told);
    }
    assert_eq!((most, beyond), (2, 10));
    holder.close().await.unwrap();
    shop.bought(&store, 1, "busy").await;
    shop.close().await;
}

/// Sessions that are killed in the middle of whatever they do: every order is bought once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_sessions_cost_no_order() {
    let _calm = testkit::stack::calm().unwrap();
    let shop = Arc::new(Shop::open().await);
    let store = shop.store();
    let (work, orders) = (shop.clone(), 25);
    let buying = tokio::spawn(async move {
        for n in 1..=orders {
            work.bought(&store, n, "killed").await;
        }
    });
    let mut kills = 0;
    while !buying.is_finished() {
        kills += shop.own.kill_sessions(0, &shop.user).await.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    buying.await.unwrap();
    assert!(kills > 2, "{kills} sessions were killed");
    Arc::into_inner(shop).unwrap().close().await;
}

/// Whatever a server's administrator made the default of a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sessions_defaults_do_not_matter() {
    let _disruption = testkit::stack::disrupt().unwrap();
    let own = Own::create_as(" CHARACTER SET latin1 COLLATE latin1_swedish_ci").await.unwrap();
    let hostile = [
        ("sql_mode", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'"),
        ("autocommit", "0"),
        ("sql_select_limit", "3"),
        ("tx_isolation", "'SERIALIZABLE'"),
        ("default_storage_engine", "'MyISAM'"),
        ("character_set_server", "'latin1'"),
        ("collation_server", "'latin1_swedish_ci'"),
        ("completion_type", "'CHAIN'"),
        ("eq_range_index_dive_limit", "1"),
    ];
    let mut before = Vec::new();
    for (name, value) in hostile {
        for n in [0, 1] {
            let was = own.root_value(n, &format!("SELECT QUOTE(@@global.{name})")).await.unwrap();
            before.push((n, name, was));
            own.root(n, &format!("SET GLOBAL {name} = {value}")).await.unwrap();
        }
    }
    let done = crate::conforms(&own).await;
    for (n, name, was) in before {
        // Numbers do not come in quotes.
        let bare = was.trim_matches('\'');
        let was = if bare.bytes().all(|b| b.is_ascii_digit()) { bare } else { &was };
        own.root(n, &format!("SET GLOBAL {name} = {was}")).await.unwrap();
    }
    own.drop_all().await.unwrap();
    done.unwrap();
}
