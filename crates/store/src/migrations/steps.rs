//! What migrations are made of.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

/// What MySQL and MariaDB are told for every table, because the defaults of a server or a database
/// are anything: a table in latin1 refuses what a JSON text may hold.
pub(crate) const ENGINE: &str = "InnoDB";
/// Every text.
pub(crate) const CHARSET: &str = "utf8mb4";
/// Texts are equal when their bytes are: `a` is not `A`, nor `ä`.
pub(crate) const COLLATION: &str = "utf8mb4_bin";

/// What one migration does, as values.
pub(super) trait MigrationSteps: MigrationName + Send + Sync {
    /// Tables that are new.
    fn tables(&self, _backend: DbBackend) -> Vec<TableCreateStatement> {
        Vec::new()
    }
    /// Columns that are new.
    fn new_columns(&self) -> Vec<NewColumn> {
        Vec::new()
    }
    /// Columns that are wider.
    fn columns(&self, _backend: DbBackend) -> Vec<TableAlterStatement> {
        Vec::new()
    }
    /// Indexes that are new.
    fn indexes(&self) -> &'static [NewIndex] {
        &[]
    }
}

/// A column of a table that is there. It has a default or takes NULL: processes that do not know it
/// go on writing rows.
pub(super) struct NewColumn {
    pub table: &'static str,
    pub column: ColumnDef,
}

impl NewColumn {
    /// What makes it.
    pub(super) fn statement(&self) -> TableAlterStatement {
        Table::alter().table(name(self.table)).add_column(self.column.clone()).take()
    }
}

/// An index of a table.
pub(super) struct NewIndex {
    pub table: &'static str,
    pub name: &'static str,
    columns: &'static [&'static str],
    is_unique: bool,
}

impl NewIndex {
    /// What makes it.
    pub(super) fn statement(&self) -> IndexCreateStatement {
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

/// An index under which there is one row at most.
pub(super) const fn unique(
    table: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
) -> NewIndex {
    NewIndex { table, name, columns, is_unique: true }
}

/// An index under which there may be several rows.
pub(super) const fn several(
    table: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
) -> NewIndex {
    NewIndex { table, name, columns, is_unique: false }
}

/// A name in a statement.
pub(super) fn name(s: &'static str) -> Alias {
    Alias::new(s)
}
