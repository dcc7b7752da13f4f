//! The schema, by steps that expand: a new table, a new or wider column, a new index. What nobody
//! needs any more goes in a later step, when no process of a version that needed it is left. A step
//! that was released never changes; `tests/golden/schema-*.snap` are the statements.

mod m0001_tables;
mod m0002_tenants;

use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::prelude::*;

/// What MySQL and MariaDB are told for every table, because the defaults of a server or a database
/// are anything: a table in latin1 refuses what a JSON text may hold.
pub(crate) const ENGINE: &str = "InnoDB";
/// Every text.
pub(crate) const CHARSET: &str = "utf8mb4";
/// Texts are equal when their bytes are: `a` is not `A`, nor `ä`.
pub(crate) const COLLATION: &str = "utf8mb4_bin";

/// All migrations, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let made = |s: Box<dyn Steps>| -> Box<dyn MigrationTrait> { Box::new(Migration(s)) };
        steps().into_iter().map(made).collect()
    }
}

fn steps() -> Vec<Box<dyn Steps>> {
    vec![Box::new(m0001_tables::Tables), Box::new(m0002_tenants::Tenants)]
}

/// What one migration does, as values.
trait Steps: MigrationName + Send + Sync {
    /// Tables that are new.
    fn tables(&self, _backend: DbBackend) -> Vec<TableCreateStatement> {
        Vec::new()
    }
    /// Columns that are new or wider.
    fn columns(&self, _backend: DbBackend) -> Vec<TableAlterStatement> {
        Vec::new()
    }
    /// Indexes that are new.
    fn indexes(&self) -> &'static [NewIndex] {
        &[]
    }
}

struct Migration(Box<dyn Steps>);

impl MigrationName for Migration {
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// May be run again after it died half-way.
    #[expect(elided_lifetimes_in_paths, reason = "the macro's trait has the lifetime late-bound")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in self.0.tables(backend) {
            manager.create_table(table).await?;
        }
        for columns in self.0.columns(backend) {
            manager.alter_table(columns).await?;
        }
        for index in self.0.indexes() {
            if !manager.has_index(index.table, index.name).await? {
                manager.create_index(index.statement()).await?;
            }
        }
        Ok(())
    }
}

/// An index of a table.
struct NewIndex {
    table: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
    is_unique: bool,
}

impl NewIndex {
    fn statement(&self) -> IndexCreateStatement {
        let mut index = Index::create().name(self.name).table(name(self.table)).take();
        for column in self.columns {
            index.col(name(column));
        }
        if self.is_unique {
            index.unique();
        }
        index
    }
}

const fn unique(
    table: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
) -> NewIndex {
    NewIndex { table, name, columns, is_unique: true }
}

/// An index under which there may be several rows.
const fn several(
    table: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
) -> NewIndex {
    NewIndex { table, name, columns, is_unique: false }
}

fn name(s: &'static str) -> Alias {
    Alias::new(s)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All statements, in order, as this backend gets them.
    fn text(backend: DbBackend) -> String {
        let mut out = String::new();
        for step in steps() {
            out += &format!("-- {}\n", step.name());
            let tables = step.tables(backend).into_iter().map(|s| backend.build(&s));
            let columns = step.columns(backend).into_iter().map(|s| backend.build(&s));
            let indexes = step.indexes().iter().map(|i| backend.build(&i.statement()));
            for statement in tables.chain(columns).chain(indexes) {
                out += &statement.to_string().replace("NULL, ", "NULL,\n  ");
                out += ";\n";
            }
        }
        out
    }

    #[test]
    fn what_was_released_never_changes() {
        let mut golden = insta::Settings::clone_current();
        golden.set_snapshot_path("../../tests/golden");
        golden.set_prepend_module_to_snapshot(false);
        golden.set_omit_expression(true);
        golden.bind(|| {
            insta::assert_snapshot!("schema-mysql", text(DbBackend::MySql));
            insta::assert_snapshot!("schema-sqlite", text(DbBackend::Sqlite));
        });
    }
}
