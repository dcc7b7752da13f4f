//! Room for the tenant in the names: see `domain::names`.

use domain::names::{MAX_SCOPED, MAX_TENANT};
use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::steps::{MigrationSteps, name};

pub(super) struct Tenants;

impl MigrationName for Tenants {
    fn name(&self) -> &str {
        "m0002_tenants"
    }
}

/// The longest text form of an offer or a campaign: tenant, `/`, name.
const NAME: u32 = MAX_TENANT as u32 + 1 + 64;
/// That of a cell: `.` and two digits more.
const CELL: u32 = NAME + 3;

/// A column that gets room: bytes, or characters of a text.
enum Wider {
    Bytes(&'static str, u32),
    Text(&'static str, u32),
}

use Wider::{Bytes, Text};

const WIDER: &[(&str, &[Wider])] = &[
    ("cell", &[Bytes("cell_id", CELL)]),
    ("orders", &[Bytes("buyer", MAX_SCOPED as u32), Bytes("offer", NAME)]),
    ("order_line", &[Bytes("offer", NAME)]),
    ("campaign", &[Text("id", NAME)]),
    ("offer", &[Text("id", NAME), Text("campaign", NAME)]),
    // The name of what a lease is for comes before the cell's.
    ("lease", &[Text("name", CELL + 28)]),
];

impl MigrationSteps for Tenants {
    fn columns(&self, backend: DbBackend) -> Vec<TableAlterStatement> {
        // SQLite holds no text to its length.
        if backend == DbBackend::Sqlite {
            return Vec::new();
        }
        let wider = |(table, columns): &(&'static str, &[Wider])| {
            let mut alter = Table::alter().table(name(table)).take();
            for column in *columns {
                let mut column = match column {
                    Bytes(column, n) => ColumnDef::new(name(column)).var_binary(*n).take(),
                    Text(column, n) => ColumnDef::new(name(column)).string_len(*n).take(),
                };
                alter.modify_column(column.not_null());
            }
            alter
        };
        WIDER.iter().map(wider).collect()
    }
}
