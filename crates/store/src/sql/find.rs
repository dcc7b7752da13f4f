//! Look-ups of many keys at once, in the ledger.

use std::collections::HashMap;

use domain::decide::Entered;
use domain::ledger::Class;
use domain::{EntryId, Kind};
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
};

use super::{Db, convert};
use crate::entity::ledger;
use crate::error::StoreResult;
use crate::ladder;

/// (cell's number, order) -> (kind, position, units).
pub(super) type Existing = HashMap<(i32, EntryId), (Kind, u64, i64)>;

type ExistingRow = (i32, Vec<u8>, i8, i64, i64);

/// Existing entries of one class, of a single kind each, for some orders, in any cell.
pub(super) async fn existing(
    db: &Db,
    tx: &DatabaseTransaction,
    class: Class,
    ids: &[EntryId],
) -> StoreResult<Existing> {
    let class = class.number();
    let keys: Vec<Vec<u8>> = ids.iter().map(|o| o.0.to_vec()).collect();
    let mut found = HashMap::new();
    for piece in ladder::padded(&keys, ladder::STEPS[0]) {
        let mut find = ledger::Entity::find()
            .select_only()
            .columns([ledger::Column::CellNo, ledger::Column::OrderId, ledger::Column::Kind])
            .columns([ledger::Column::Seq, ledger::Column::Qty])
            .filter(ledger::Column::OrderId.is_in(piece))
            .filter(ledger::Column::Class.eq(class));
        by_order(&mut find);
        let rows: Vec<ExistingRow> = find.into_tuple().all(tx).await.map_err(|e| db.err(e))?;
        for (cell, id, kind, seq, qty) in rows {
            let id = convert::entry_id(db, &id)?;
            found.insert((cell, id), (convert::kind(db, kind, class)?, seq as u64, qty));
        }
    }
    Ok(found)
}

/// All entries under some ids in one cell, whatever their class.
pub(super) async fn entries_of(
    db: &Db,
    tx: &DatabaseTransaction,
    cell_no: i32,
    ids: &[EntryId],
) -> StoreResult<Vec<Entered>> {
    let keys: Vec<Vec<u8>> = ids.iter().map(|o| o.0.to_vec()).collect();
    let mut found = Vec::new();
    for piece in ladder::padded(&keys, ladder::STEPS[0]) {
        let mut find = ledger::Entity::find()
            .select_only()
            .columns([ledger::Column::OrderId, ledger::Column::Kind, ledger::Column::Class])
            .columns([ledger::Column::Qty, ledger::Column::Buyer])
            .filter(ledger::Column::OrderId.is_in(piece))
            .filter(ledger::Column::CellNo.eq(cell_no));
        by_order(&mut find);
        let rows: Vec<EnteredRow> = find.into_tuple().all(tx).await.map_err(|e| db.err(e))?;
        for (id, kind, class, qty, buyer) in rows {
            let id = convert::entry_id(db, &id)?;
            let buyer = convert::text(db, buyer, "ledger.buyer")?;
            found.push(Entered { id, kind: convert::kind(db, kind, class)?, qty, buyer });
        }
    }
    Ok(found)
}

type EnteredRow = (Vec<u8>, i8, i8, i64, Vec<u8>);

/// Names the index: with more than 200 ids a server guesses from statistics, which lag behind a
/// table that grows, and may read all of it instead.
pub(super) fn by_order(find: &mut sea_orm::Select<ledger::Entity>) {
    forced(find, "ledger_order");
}

/// Names the index of a look-up of many keys. SQLite needs no such word and gets none.
pub(super) fn forced<E: EntityTrait>(find: &mut sea_orm::Select<E>, index: &'static str) {
    QueryTrait::query(find).force_index(index, IndexHintScope::All);
}
