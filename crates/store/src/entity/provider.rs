//! Payment providers.

use sea_orm::entity::prelude::*;

/// A row of `provider`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "provider")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// `domain::life::AdapterKind`.
    pub adapter: i8,
    /// One in each line.
    pub secrets: Vec<u8>,
    /// Where it is called; empty for nowhere.
    pub base_url: String,
    /// How long one call may take.
    pub timeout_ms: i32,
}

/// Without its secrets.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "provider {:?} at {:?}", self.id, self.base_url)
    }
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
