//! The ledger as it was known at a moment: clicks received until then, with the verdicts of then.

use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

/// The disposition of a row named `c` at the moment that is joined.
pub(super) const DISPOSITION: &str = "coalesce(past.disposition, c.disposition)";

/// Joins the verdicts that the first change since a moment has replaced. `bounds` adds conditions on `clicked_at`
/// and `advertiser_id`, each with `AND` in front.
pub(super) fn join(
    sql: &mut QueryBuilder<Postgres>,
    as_of: OffsetDateTime,
    bounds: impl FnOnce(&mut QueryBuilder<Postgres>),
) {
    sql.push(
        " LEFT JOIN (SELECT DISTINCT ON (click_id, clicked_at, advertiser_id) click_id, clicked_at, advertiser_id, \
         from_disposition AS disposition FROM adjustments WHERE adjusted_at > ",
    );
    sql.push_bind(as_of);
    bounds(sql);
    sql.push(
        " ORDER BY click_id, clicked_at, advertiser_id, adjustment_id) AS past USING (click_id, clicked_at, advertiser_id)",
    );
}
