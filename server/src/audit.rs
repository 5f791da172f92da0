//! The audit log: who changed what, when, from where. The tables write it themselves (migration 13), in
//! the transaction of the change; here it is said who changes, and administrators read it.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    AppState,
    access::{Admin, Caller, Credential},
    accounts::{Role, store},
    database::answer,
    error::Error,
    openapi::{self, Refused},
    parameters::Parameters,
};

/// Entries in one answer, unless asked otherwise, and at most.
const LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

/// Who does something, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    /// The keyed hash of an address, or `shell`.
    pub(crate) origin: String,
    /// The account that does it, and what it has shown.
    account: Option<(Uuid, Role, Credential)>,
}

impl Actor {
    /// A caller that this server knows, from an address of which this is the keyed hash.
    pub(crate) fn known(caller: &Caller, origin: String) -> Self {
        let account = caller.account_id.map(|id| (id, caller.role, caller.credential.clone()));
        Self { name: caller.name.to_string(), origin, account }
    }

    /// Who works where the programs run.
    pub(crate) fn shell(user: &str) -> Self {
        Self { name: format!("shell:{user}"), origin: "shell".to_owned(), account: None }
    }

    /// Whoever tries to sign in and is refused.
    pub(crate) fn nobody(origin: String) -> Self {
        Self { name: "nobody".to_owned(), origin, account: None }
    }

    /// Begins a transaction; what it changes is recorded under this name.
    ///
    /// What has ended on another server (a session, a token, the account, its role) begins none, even if this
    /// server has not heard of it yet: it could make something that stays.
    pub(crate) async fn begin(&self, database: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
        let mut transaction = answer(database.begin()).await?;
        let named = sqlx::query(
            "SELECT set_config('clickwire.actor', $1, true), set_config('clickwire.origin', $2, true)",
        )
        .bind(&self.name)
        .bind(&self.origin);
        answer(named.execute(&mut *transaction)).await?;
        if let Some((account_id, role, credential)) = &self.account
            && !store::is_still(&mut transaction, *account_id, *role, credential).await?
        {
            return Err(Error::Unauthorized);
        }
        Ok(transaction)
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Question {
    /// Of one table: `accounts`, `account_tokens`, `api_keys`, `advertisers`, `campaigns`, `ads`, `fraud_rules`,
    /// `alerts` (acknowledgements), `adjustments` (releases, by click id).
    subject: Option<String>,
    /// Of one row.
    subject_id: Option<String>,
    /// By one person or program.
    actor: Option<String>,
    /// 100 unless asked otherwise.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// The `next` of the page before.
    before: Option<i64>,
}

/// What somebody did.
#[derive(Serialize, ToSchema, sqlx::FromRow)]
pub(crate) struct Entry {
    entry_id: i64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    actor: String,
    /// The keyed hash of an address, or where else than over HTTP it was done.
    origin: String,
    /// `insert`, `update`, `delete`, `sign_in`, `sign_out`.
    action: String,
    subject: String,
    subject_id: String,
    /// The row before, without secrets.
    #[schema(value_type = Option<Object>)]
    #[sqlx(try_from = "Option<String>")]
    before: Row,
    /// The row after, without secrets.
    #[schema(value_type = Option<Object>)]
    #[sqlx(try_from = "Option<String>")]
    after: Row,
}

/// A row as JSON.
#[derive(Serialize)]
struct Row(Option<Value>);

impl TryFrom<Option<String>> for Row {
    type Error = serde_json::Error;

    fn try_from(text: Option<String>) -> serde_json::Result<Self> {
        text.map(|text| serde_json::from_str(&text)).transpose().map(Self)
    }
}

/// One page, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(crate) struct Page {
    data: Vec<Entry>,
    /// Where the next page begins; `None` after the last.
    next: Option<i64>,
}

/// What was changed, the latest first.
#[utoipa::path(get, path = "/audit", operation_id = "list_audit", tag = "admin", params(Question),
    responses((status = 200, body = Page), Refused<(openapi::Scoped, openapi::Input, openapi::Database)>))]
pub(crate) async fn list(
    State(state): State<AppState>,
    _admin: Admin,
    mut given: Parameters,
) -> Result<Json<Page>, Error> {
    let question = Question {
        subject: given.text("subject"),
        subject_id: given.text("subject_id"),
        actor: given.text("actor"),
        limit: given.number("limit", 1..=MAX_LIMIT),
        before: given.number("before", 0..=i64::MAX),
    };
    let question = given.finish(question)?;
    let limit = question.limit.unwrap_or(LIMIT);
    let page = sqlx::query_as(
        "SELECT entry_id, at, actor, origin, action, subject, subject_id, before::text, after::text FROM audit_log \
          WHERE ($1::text IS NULL OR subject = $1) AND ($2::text IS NULL OR subject_id = $2) \
            AND ($3::text IS NULL OR actor = $3) AND ($4::bigint IS NULL OR entry_id < $4) \
          ORDER BY entry_id DESC LIMIT $5",
    )
    .bind(question.subject)
    .bind(question.subject_id)
    .bind(question.actor)
    .bind(question.before)
    .bind(limit + 1)
    .fetch_all(&state.database);
    let mut data: Vec<Entry> = answer(page).await?;
    let is_last = data.len() as i64 <= limit;
    data.truncate(limit as usize);
    let next = if is_last { None } else { data.last().map(|entry| entry.entry_id) };
    Ok(Json(Page { data, next }))
}
