//! The schema, by steps that expand: a new table, a new or wider column, a new index. What nobody
//! needs any more goes in a later step, when no process of a version that needed it is left. A step
//! that was released never changes; `tests/golden/schema-*.sql` are the statements.

mod m0001_tables;
mod m0002_tenants;
mod m0003_life;
mod steps;

use sea_orm::DbErr;
use sea_orm_migration::prelude::*;

use steps::MigrationSteps;

pub(crate) use steps::{CHARSET, COLLATION, ENGINE};

/// All migrations, in order.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let made =
            |s: Box<dyn MigrationSteps>| -> Box<dyn MigrationTrait> { Box::new(Migration(s)) };
        steps().into_iter().map(made).collect()
    }
}

fn steps() -> Vec<Box<dyn MigrationSteps>> {
    vec![
        Box::new(m0001_tables::Tables),
        Box::new(m0002_tenants::Tenants),
        Box::new(m0003_life::OrderLife),
    ]
}

struct Migration(Box<dyn MigrationSteps>);

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
        for new in self.0.new_columns() {
            if !manager.has_column(new.table, new.column.get_column_name()).await? {
                manager.alter_table(new.statement()).await?;
            }
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

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use super::*;

    /// All statements, in order, as this backend gets them.
    fn text(backend: DbBackend) -> String {
        let mut out = String::new();
        for step in steps() {
            out += &format!("-- {}\n", step.name());
            let tables = step.tables(backend).into_iter().map(|s| backend.build(&s));
            let new = step.new_columns().into_iter().map(|c| backend.build(&c.statement()));
            let columns = step.columns(backend).into_iter().map(|s| backend.build(&s));
            let indexes = step.indexes().iter().map(|i| backend.build(&i.statement()));
            for statement in tables.chain(new).chain(columns).chain(indexes) {
                out += &statement.to_string().replace("NULL, ", "NULL,\n  ");
                out += ";\n";
            }
        }
        out
    }

    #[test]
    fn what_was_released_never_changes() {
        let golden = |file, backend| {
            testkit::golden::golden(env!("CARGO_MANIFEST_DIR"), file, &text(backend));
        };
        golden("tests/golden/schema-mysql.sql", DbBackend::MySql);
        golden("tests/golden/schema-sqlite.sql", DbBackend::Sqlite);
    }
}
