//! `POST /admin/money`: a provider's statement against the books here.

use contract::{Operators, Problem, Reason};
use life::statement::{MoneyBooks, Period, Statement};
use web::answer::{self, Answer};
use web::body;

use super::{Shop, input, providers};

/// More lines than a body of its size can have.
const MOST_LINES: usize = 1_000_000;

/// Compares it.
pub(super) async fn compare(
    shop: &Shop<'_>,
    query: Option<&str>,
    bytes: &[u8],
) -> Result<Answer, Problem> {
    let fields = body::query(query, Operators::CompareMoney.spec().query)?;
    let Some(name) = fields.get("provider") else {
        return Err(input::malformed("provider: whose statement it is"));
    };
    let provider = providers::known(shop, name).await?.id;
    let statement = Statement::read(bytes, MOST_LINES);
    let statement = statement.map_err(|e| Problem::with(Reason::Malformed, e.to_string()))?;
    let time = |name: &str| {
        let given = fields.get(name).map(|text| {
            let ms = contract::parse_time(text).and_then(|ms| u64::try_from(ms).ok());
            ms.ok_or_else(|| input::malformed(format!("{name}: RFC 3339, with an offset")))
        });
        given.transpose()
    };
    let period = Period::of(&statement, time("from")?, time("to")?);
    let period = period.map_err(input::malformed)?;
    let store = &*shop.ports.store;
    let books = MoneyBooks { store, identity: &shop.ports.identity, provider };
    let report = books.compare(&statement, period).await.map_err(input::down)?;
    Ok(answer::json(200, &report))
}
