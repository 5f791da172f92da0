//! The lake's part of an erasure: ordered here, carried out by the lake that runs.

use clickwire_protocol::ids::AdvertiserId;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Progress of an erasure in the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LakeErasureState)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LakeState {
    /// The lake has yet to archive what was on the stream, or to write its files again.
    Waiting,
    /// The tables are without the user; snapshots and files from before are still there.
    Rewritten,
    /// No object has the user.
    Done,
}

impl LakeState {
    /// The state by the times that the lake has noted.
    pub(super) fn of(rewritten_at: Option<OffsetDateTime>, finished_at: Option<OffsetDateTime>) -> Self {
        match (rewritten_at, finished_at) {
            (_, Some(_)) => Self::Done,
            (Some(_), None) => Self::Rewritten,
            (None, None) => Self::Waiting,
        }
    }
}

/// Orders the lake to erase a user, whom it knows by a salted hash alone; `None` if there is no lake, and never was
/// one. The same erasure is ordered once.
pub(super) async fn order(
    connection: &mut PgConnection,
    erasure_id: Uuid,
    advertiser_id: &AdvertiserId,
    user_id: &str,
) -> Result<Option<LakeState>, sqlx::Error> {
    let salt = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    let user_hash = Sha256::new().chain_update(&salt).chain_update(user_id).finalize();
    let ordered = sqlx::query(
        "INSERT INTO lake_erasures (erasure_id, advertiser_id, salt, user_hash) SELECT $1, $2, $3, $4 \
          WHERE EXISTS (SELECT FROM lake_attachment) OR EXISTS (SELECT FROM iceberg_tables) \
         ON CONFLICT (erasure_id) DO NOTHING",
    )
    .bind(erasure_id)
    .bind(advertiser_id)
    .bind(salt)
    .bind(&user_hash[..])
    .execute(connection)
    .await?;
    Ok((ordered.rows_affected() > 0).then_some(LakeState::Waiting))
}
