//! `/api/v1/admin/erasures`: a user is erased from the ledger and from what is recorded of it
//! ([`clickwire_ledger::erasure`]), and the lake is ordered to do so, too ([`lake`]). The command line does the same.
//!
//! The user's name stands in no record: a code over it under the deployment's secret does.

mod lake;
mod list;

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use clickwire_ledger::{
    erasure::{self, Erasure, Order, Totals},
    watermark,
};
use clickwire_protocol::{click::MAX_USER_ID_BYTES, ids::AdvertiserId, stream::Names};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, Transaction};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;
use uuid::Uuid;

use self::lake::LakeState;
pub(super) use self::list::{__path_list, list};
use crate::{
    admin::{reason, state::AdminState},
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
    },
    identity::{access::Admin, actor::Actor, signing::Keys},
    query::export::jobs,
};

/// The longest time that one request erases; the same order again continues at the point where it ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// One step, over what is compressed, may take longer than what a request usually asks of the database.
const STATEMENT_TIMEOUT: &str = "60s";
const STEP_TIMEOUT: Duration = Duration::from_secs(70);

/// Tells keys that are made from another secret from whatever else is.
const PURPOSE: &[u8] = b"clickwire erasures";

/// Shorter names stand in many a reason without meaning the user.
const MIN_NAME_BYTES: usize = 4;

#[derive(Deserialize, ToSchema)]
#[schema(as = ErasureOrder)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The advertiser whose user it is.
    advertiser_id: String,
    /// The user, as posters name it.
    user_id: String,
    /// Reason of the erasure; it stays in the record and must not name the user.
    reason: String,
}

/// The result of an erasure: erased records, and data that could not be erased.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct Erased {
    erasure_id: Uuid,
    /// All clicks were looked through. If `false`, the same order again continues.
    finished: bool,
    /// Clicks that have lost their user, address, browser, parameters and referrer.
    clicks: i64,
    /// Incidents that named the user; they are erased at the end: 0 until it is finished.
    incidents: i64,
    /// Recorded dead letters that had the user in them; 0 until it is finished.
    dead_letters: i64,
    /// Kept exports of clicks that the user may have been in: they are deleted; 0 until it is finished.
    exports: i64,
    /// State of the lake; `null` if none was ever in use, or while clicks are left. The list of erasures shows its
    /// progress.
    lake: Option<LakeState>,
    /// Clicks taken in before it are in the ledger, so erased; RFC 3339. Later ones may still be on their way: order
    /// again when the watermark has passed them. `null` until every partition has counted something.
    #[schema(format = DateTime)]
    counted_before: Option<String>,
    /// Places that still have data of the user, and for how long.
    left: Vec<Left>,
}

/// A place whose data can't be erased.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = ErasureLeft)]
pub(crate) struct Left {
    /// Name of the place.
    place: &'static str,
    /// Data of the user that is left there, and until when.
    what: &'static str,
}

/// Places named in every answer: docs/operate/erasure.md has the same.
const LEFT: [Left; 7] = [
    Left {
        place: "the lake",
        what: "Its files, until the lake has written them again and removed the old ones. The list of erasures shows when.",
    },
    Left {
        place: "sketches of unique users",
        what: "A few bits of a hash among those of everybody else. No user can be read from them or taken out; they end with their retention.",
    },
    Left {
        place: "dead letters",
        what: "Messages that wait on the dead-letter stream are not changed. Replay or dismiss them, then order again.",
    },
    Left {
        place: "stream and spools",
        what: "Clicks that are not counted yet. Order again when counted_before has passed now.",
    },
    Left {
        place: "incidents about addresses",
        what: "The keyed hash of an address, without a user; deleted some time after their end.",
    },
    Left {
        place: "Redis and recent commits",
        what: "Hashes of posts, for a day, and of users, for minutes.",
    },
    Left {
        place: "backups, files that were fetched, advertisers' own systems",
        what: "What was copied out before. Restore a backup, then order again.",
    },
];

/// The code over a user that stays in the record.
pub(crate) fn codes(secret: &[u8]) -> Keys {
    Keys::new(&[], secret, PURPOSE)
}

/// Erases a user.
///
/// Clicks keep their counts, verdicts and evidence; a random name and random addresses come in place of the user's, so
/// that rules find what they found. What can't be taken out is in the answer.
#[utoipa::path(post, path = "/erasures", operation_id = "erase_user", tag = "admin", request_body = Wanted,
    responses((status = 200, body = Erased), Refused<(
        crate::identity::error::Scoped, openapi::Body, crate::store::error::Record
    )>))]
pub(super) async fn create(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    body: Result<Object<Wanted>, Error>,
) -> Result<Json<Erased>, Error> {
    let Object(wanted) = body?;
    let advertiser_id = checked(&wanted.advertiser_id, &wanted.user_id, &wanted.reason)?;
    let reason = reason(&wanted.reason)?;
    let task = Task {
        database: &state.writing,
        codes: &state.erasures,
        names: &state.names,
        partitions: state.partitions,
        patience: PATIENCE,
    };
    let erased = task.run(admin.author(), &advertiser_id, &wanted.user_id, reason.as_str()).await?;
    Ok(Json(erased))
}

/// Checks an order: returns the advertiser, or all errors by field.
pub(crate) fn checked(advertiser_id: &str, user_id: &str, reason: &str) -> Result<AdvertiserId, Error> {
    let advertiser = AdvertiserId::new(advertiser_id);
    let names_user = user_id.len() >= MIN_NAME_BYTES && reason.contains(user_id);
    let user = match user_id {
        "" => Some("Must not be empty.".to_owned()),
        id if id.len() > MAX_USER_ID_BYTES => Some(format!("At most {MAX_USER_ID_BYTES} bytes.")),
        id if id.chars().any(char::is_control) => Some("Control characters are not allowed.".to_owned()),
        _ => None,
    };
    Error::fields([
        ("advertiser_id", advertiser.as_ref().err().cloned()),
        ("user_id", user),
        ("reason", names_user.then(|| "Must not name the user: it is kept.".to_owned())),
    ])?;
    advertiser.map_err(|message| Error::field("advertiser_id", &message))
}

/// The dependencies and limits of an erasure.
pub(crate) struct Task<'a> {
    /// Pool that can write.
    pub(crate) database: &'a PgPool,
    pub(crate) codes: &'a Keys,
    pub(crate) names: &'a Names,
    pub(crate) partitions: u16,
    /// Time after which the rest is left to the next order.
    pub(crate) patience: Duration,
}

impl Task<'_> {
    /// Erases; `actor` stands in the record.
    pub(crate) async fn run(
        &self,
        actor: &Actor,
        advertiser_id: &AdvertiserId,
        user_id: &str,
        reason: &str,
    ) -> Result<Erased, Error> {
        let deadline = Instant::now() + self.patience;
        let user_mac = self.codes.code(&[advertiser_id.as_str().as_bytes(), b"\0", user_id.as_bytes()], 32);
        let order = Order { advertiser_id, user_id, user_mac: &user_mac, actor: &actor.name, reason };
        let mut transaction = actor.begin(self.database).await?;
        // Before the rows: what is called counted is among them.
        let counted = within(watermark::of_deployment(&mut *transaction, self.partitions)).await?;
        let erasure = within(erasure::begin(&mut transaction, &order)).await?;
        within(transaction.commit()).await?;
        let counted_before = counted.and_then(|at| shown(clickwire_ledger::at(at)));
        let (mut exports, mut lake) = (0, None);
        let (clicks, is_through) = self.sweep(actor, &order, &erasure, deadline).await?;
        let totals = if is_through {
            let mut transaction = self.begin(actor).await?;
            let stand_in = erasure.stand_in();
            let erased =
                clickwire_dead_letters::erase::erase(&mut transaction, advertiser_id, user_id, &stand_in);
            let dead_letters = within(erased).await?;
            exports = within(jobs::forget(&mut transaction, advertiser_id, user_id)).await? as i64;
            let totals = within(erasure::finish(&mut transaction, &order, &erasure, dead_letters)).await?;
            lake = within(lake::order(&mut transaction, erasure.erasure_id, advertiser_id, user_id)).await?;
            within(transaction.commit()).await?;
            totals
        } else {
            Totals { clicks, incidents: 0, dead_letters: 0 }
        };
        let Totals { clicks, incidents, dead_letters } = totals;
        tracing::info!(erasure_id = %erasure.erasure_id, finished = is_through, "user erased");
        Ok(Erased {
            erasure_id: erasure.erasure_id,
            finished: is_through,
            clicks,
            incidents,
            dead_letters,
            exports,
            lake,
            counted_before,
            left: LEFT.to_vec(),
        })
    }

    /// Erases the user from clicks until none is left, or `deadline` has come. Returns how many clicks that were, and
    /// whether none is left.
    async fn sweep(
        &self,
        actor: &Actor,
        order: &Order<'_>,
        erasure: &Erasure,
        deadline: Instant,
    ) -> Result<(i64, bool), Error> {
        let (mut clicks, mut of_sweep, mut since) = (0, 0, OffsetDateTime::UNIX_EPOCH);
        loop {
            let mut transaction = self.begin(actor).await?;
            let part =
                within(erasure::erase_some(&mut transaction, self.names, order, erasure, since)).await?;
            within(transaction.commit()).await?;
            match part {
                Some(part) => {
                    clicks += part.clicks as i64;
                    of_sweep += part.clicks;
                    since = part.next;
                }
                None if of_sweep == 0 => return Ok((clicks, true)),
                // Clicks may have come meanwhile, of any time.
                None => (of_sweep, since) = (0, OffsetDateTime::UNIX_EPOCH),
            }
            if Instant::now() > deadline {
                return Ok((clicks, false));
            }
        }
    }

    async fn begin(&self, actor: &Actor) -> Result<Transaction<'static, Postgres>, Error> {
        let mut transaction = actor.begin(self.database).await?;
        let longer = sqlx::query("SELECT set_config('statement_timeout', $1, true)").bind(STATEMENT_TIMEOUT);
        within(longer.execute(&mut *transaction)).await?;
        Ok(transaction)
    }
}

async fn within<T>(step: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(STEP_TIMEOUT, step).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn shown(at: OffsetDateTime) -> Option<String> {
    at.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_an_advertiser_and_a_user_and_does_not_name_the_user_twice() {
        let fields = |advertiser: &str, user: &str, reason: &str| match checked(advertiser, user, reason) {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(rejection)) => rejection.field_errors.into_keys().collect(),
            Err(other) => panic!("{other}"),
        };
        assert!(fields("adv_001", "anna@example.org", "asked for it, ticket 7").is_empty());
        assert!(fields("adv_001", "7", "asked for it, ticket 7").is_empty(), "a name in many a reason");
        assert_eq!(fields("adv 1", "", "r"), ["advertiser_id", "user_id"]);
        assert_eq!(fields("adv_001", "a\nb", "r"), ["user_id"]);
        assert_eq!(fields("adv_001", &"u".repeat(MAX_USER_ID_BYTES + 1), "r"), ["user_id"]);
        assert_eq!(fields("adv_001", "anna@example.org", "anna@example.org asked"), ["reason"]);
    }

    #[test]
    fn the_code_depends_on_secret_advertiser_and_user() {
        let code = |secret: &[u8], parts: &[&[u8]]| codes(secret).code(parts, 32);
        let one = code(b"secret", &[b"adv", b"\0", b"user"]);
        assert_eq!(one.len(), 32);
        assert_ne!(one, code(b"another", &[b"adv", b"\0", b"user"]));
        assert_ne!(one, code(b"secret", &[b"advu", b"\0", b"ser"]));
    }
}
