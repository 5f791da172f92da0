//! `/api/v1/admin/webhook-deliveries`: what was sent, or is to be sent, to webhooks, and the order to send something
//! again. Secrets and whole addresses are not shown: an address may hold a token.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_ledger::deliveries::{self, News};
use clickwire_protocol::deliveries::{DeliveryChannel, DeliveryOutcome, WebhookDeliveries, WebhookDelivery};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use crate::{
    admin::state::AdminState,
    http::{
        error::Error,
        openapi::{self, Refused},
    },
    identity::access::Admin,
    store::database::{answer, unix_ms},
};

/// Deliveries that are listed, at most.
const LISTED: i64 = 100;

/// Ids of news about incidents, and of files, begin so.
const NEWS: &str = "incidents-";
const FILE: &str = "reports-";

/// A file of a schedule that has a receiver.
#[derive(FromRow)]
struct File {
    job_id: Uuid,
    kind: String,
    extension: String,
    created_at: OffsetDateTime,
    webhook_url: Option<String>,
    delivery: String,
    delivery_tries: i32,
    delivery_due: Option<OffsetDateTime>,
}

/// The columns of a [`File`].
const FILES: &str = "SELECT job_id, kind, extension, created_at, webhook_url, delivery, delivery_tries, delivery_due FROM export_jobs";

/// The host of an address, with its port if it has one of its own.
fn host(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

impl File {
    fn shown(self) -> WebhookDelivery {
        let outcome = match self.delivery.as_str() {
            "delivered" => DeliveryOutcome::Delivered,
            "given_up" => DeliveryOutcome::GivenUp,
            _ => DeliveryOutcome::Waiting,
        };
        WebhookDelivery {
            id: format!("{FILE}{}", self.job_id),
            channel: DeliveryChannel::Reports,
            receiver: self.webhook_url.as_deref().and_then(host),
            event: self.extension,
            kind: self.kind,
            alert_id: None,
            at_ms: unix_ms(self.created_at),
            attempts: self.delivery_tries,
            outcome,
            next_ms: self.delivery_due.filter(|_| outcome == DeliveryOutcome::Waiting).map(unix_ms),
        }
    }
}

fn shown(news: News) -> WebhookDelivery {
    let outcome = news.outcome();
    WebhookDelivery {
        id: format!("{NEWS}{}", news.seq),
        channel: DeliveryChannel::Incidents,
        receiver: None,
        at_ms: unix_ms(news.changed_at),
        attempts: news.webhook_tries,
        next_ms: news.webhook_due_at.filter(|_| outcome == DeliveryOutcome::Waiting).map(unix_ms),
        outcome,
        event: news.change,
        kind: news.kind,
        alert_id: Some(news.alert_id),
    }
}

/// The last deliveries to webhooks: news about incidents, and files of schedules.
#[utoipa::path(get, path = "/webhook-deliveries", operation_id = "list_webhook_deliveries", tag = "admin",
    responses((status = 200, body = WebhookDeliveries), Refused<(crate::identity::error::Scoped, crate::store::error::Database)>))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
) -> Result<Json<WebhookDeliveries>, Error> {
    let (news, files) = answer(async {
        let mut connection = state.reading.acquire().await?;
        let news = deliveries::latest(&mut connection, LISTED).await?;
        let sql = format!("{FILES} WHERE delivery IS NOT NULL ORDER BY created_at DESC LIMIT $1");
        let files: Vec<File> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(LISTED).fetch_all(&mut *connection).await?;
        Ok((news, files))
    })
    .await?;
    let mut data: Vec<WebhookDelivery> =
        news.into_iter().map(shown).chain(files.into_iter().map(File::shown)).collect();
    data.sort_by_key(|delivery| std::cmp::Reverse(delivery.at_ms));
    data.truncate(LISTED as usize);
    Ok(Json(WebhookDeliveries { data }))
}

/// Sends a delivery again, under the same id.
///
/// The header `Clickwire-Delivery` stays the same. A delivery that is still waiting, or is silenced, is refused with 409.
/// News is tried for an hour again; the file of a schedule that is older than a day has one attempt. The answer is the
/// delivery as it is then: it is sent within a second or two.
#[utoipa::path(post, path = "/webhook-deliveries/{id}/resend", operation_id = "resend_webhook_delivery", tag = "admin",
    params(("id" = String, Path)),
    responses((status = 200, body = WebhookDelivery), Refused<(
        crate::identity::error::Scoped, openapi::Missing, openapi::Conflict, crate::store::error::Record
    )>))]
pub(super) async fn resend(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<WebhookDelivery>, Error> {
    let Path(id) = id.map_err(|_| Error::NotFound)?;
    let mut transaction = admin.begin(&state.writing).await?;
    let resent = if let Some(seq) = id.strip_prefix(NEWS) {
        resend_news(&mut transaction, seq.parse().map_err(|_| Error::NotFound)?).await?
    } else if let Some(job_id) = id.strip_prefix(FILE) {
        resend_file(&mut transaction, Uuid::try_parse(job_id).map_err(|_| Error::NotFound)?).await?
    } else {
        return Err(Error::NotFound);
    };
    let recorded =
        sqlx::query("SELECT audit('resend', 'webhook_deliveries', $1, NULL, NULL)").bind(&resent.id);
    answer(recorded.execute(&mut *transaction)).await?;
    answer(transaction.commit()).await?;
    Ok(Json(resent))
}

/// Returns an error unless a delivery with this outcome can be sent again.
fn may_be_resent(outcome: DeliveryOutcome) -> Result<(), Error> {
    match outcome {
        outcome if outcome.may_be_resent() => Ok(()),
        DeliveryOutcome::Silenced => Err(Error::Conflict("A silence keeps this from the receiver.")),
        _ => Err(Error::Conflict("This is sent by itself.")),
    }
}

async fn resend_news(transaction: &mut PgConnection, seq: i64) -> Result<WebhookDelivery, Error> {
    let found = answer(deliveries::lock(transaction, seq)).await?.ok_or(Error::NotFound)?;
    may_be_resent(found.outcome())?;
    answer(deliveries::resend(transaction, seq)).await?;
    let resent = answer(deliveries::lock(transaction, seq)).await?.ok_or(Error::NotFound)?;
    Ok(shown(resent))
}

async fn resend_file(transaction: &mut PgConnection, job_id: Uuid) -> Result<WebhookDelivery, Error> {
    // A file that is gone, or will be in a moment, can't be sent.
    let one = "WHERE job_id = $1 AND delivery IS NOT NULL AND status = 'done' AND expires_at > now()";
    let sql = format!("{FILES} {one} FOR UPDATE");
    let found = sqlx::query_as::<_, File>(sqlx::AssertSqlSafe(sql)).bind(job_id);
    let found = answer(found.fetch_optional(&mut *transaction)).await?.ok_or(Error::NotFound)?.shown();
    may_be_resent(found.outcome)?;
    let sql = "UPDATE export_jobs SET delivery = 'waiting', delivery_due = now() WHERE job_id = $1";
    answer(sqlx::query(sql).bind(job_id).execute(&mut *transaction)).await?;
    let sql = format!("{FILES} WHERE job_id = $1");
    let resent = sqlx::query_as::<_, File>(sqlx::AssertSqlSafe(sql)).bind(job_id);
    Ok(answer(resent.fetch_one(&mut *transaction)).await?.shown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_host_is_shown() {
        for (address, expected) in [
            ("https://hooks.example/T123/secret?token=x", Some("hooks.example")),
            ("https://user:password@hooks.example:8443/x", Some("hooks.example:8443")),
            ("https://[2001:db8::1]:8443/x", Some("[2001:db8::1]:8443")),
            ("nonsense", None),
        ] {
            assert_eq!(host(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn what_is_sent_by_itself_or_silenced_is_not_sent_again() {
        use DeliveryOutcome::{Delivered, GivenUp, NotSent, Silenced, Waiting};
        for (outcome, expected) in
            [(Delivered, true), (GivenUp, true), (NotSent, true), (Waiting, false), (Silenced, false)]
        {
            assert_eq!(may_be_resent(outcome).is_ok(), expected, "{outcome:?}");
        }
    }
}
