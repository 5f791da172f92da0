//! The erasure of a user from the record of dead letters. The letters that still lie on their stream can't be
//! changed: they are dealt with first.

use clickwire_protocol::ids::AdvertiserId;
use serde_json::{Map, Value};
use sqlx::PgConnection;

/// Rows that are looked at together, each of at most a message and its edit.
const ROWS: i64 = 100;

/// A user whose name is shorter is only known where a message says that it is the user: else too much would look
/// like it.
const MIN_MASKED_BYTES: usize = 8;

/// Data of a user in a message beside the name.
const OF_USER: [&str; 6] = ["ip_hash", "user_agent", "os", "browser", "params", "referrer"];

/// Takes a user out of recorded messages: a stand-in comes in the place of its name, what else is said of it goes.
/// Returns the number of rows that have changed. `connection` must be in a transaction, which may change these columns
/// from here on.
///
/// # Errors
/// What the database says. The transaction must be rolled back then.
pub async fn erase(
    connection: &mut PgConnection,
    advertiser_id: &AdvertiserId,
    user_id: &str,
    stand_in: &str,
) -> Result<u64, sqlx::Error> {
    sqlx::query("SELECT set_config('clickwire.erasing', 'on', true)").execute(&mut *connection).await?;
    let user = User { advertiser_id, user_id, stand_in };
    let (mut last, mut changed) = (0, 0);
    loop {
        // Bytes that a message can't do without if it names the user: JSON may write other characters in two ways.
        let rows: Vec<(i64, Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT action_id, payload, edited_payload FROM dead_letter_actions WHERE action_id > $1 \
                AND (position($2 IN payload) > 0 OR position($2 IN coalesce(edited_payload, '')) > 0) \
              ORDER BY action_id LIMIT $3",
        )
        .bind(last)
        .bind(longest_plain(user_id).as_bytes())
        .bind(ROWS)
        .fetch_all(&mut *connection)
        .await?;
        for (action_id, payload, edited) in &rows {
            last = *action_id;
            let (without, edited_without) =
                (user.taken_out(payload), edited.as_deref().and_then(|edited| user.taken_out(edited)));
            if without.is_some() || edited_without.is_some() {
                sqlx::query(
                    "UPDATE dead_letter_actions SET payload = $2, edited_payload = $3 WHERE action_id = $1",
                )
                .bind(action_id)
                .bind(without.as_ref().unwrap_or(payload))
                .bind(edited_without.as_ref().or(edited.as_ref()))
                .execute(&mut *connection)
                .await?;
                changed += 1;
            }
        }
        if (rows.len() as i64) < ROWS {
            return Ok(changed);
        }
    }
}

/// The longest part of a text that JSON writes as it is.
fn longest_plain(text: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@ ".contains(c);
    text.split(|c| !is_plain(c)).max_by_key(|part| part.len()).unwrap_or_default()
}

struct User<'a> {
    advertiser_id: &'a AdvertiserId,
    user_id: &'a str,
    stand_in: &'a str,
}

impl User<'_> {
    /// A message without the user; `None` if it has nothing of the user.
    fn taken_out(&self, message: &[u8]) -> Option<Vec<u8>> {
        match serde_json::from_slice::<Map<String, Value>>(message) {
            Ok(click) => self.out_of_click(click),
            Err(_) => self.masked(message),
        }
    }

    fn out_of_click(&self, mut click: Map<String, Value>) -> Option<Vec<u8>> {
        let says = |name: &str, expected: &str| match click.get(name) {
            Some(Value::String(text)) => text == expected,
            Some(Value::Number(number)) => number.to_string() == expected,
            _ => false,
        };
        // A message that does not say whose click it is may be this advertiser's.
        let is_anothers = click.get("advertiser_id").is_some_and(Value::is_string)
            && !says("advertiser_id", self.advertiser_id.as_str());
        if is_anothers || !says("user_id", self.user_id) {
            return None;
        }
        OF_USER.iter().for_each(|name| drop(click.remove(*name)));
        click.insert("user_id".to_owned(), self.stand_in.into());
        serde_json::to_vec(&click).ok()
    }

    /// Bytes that can't be read, with others in place of the user's name.
    fn masked(&self, message: &[u8]) -> Option<Vec<u8>> {
        let name = self.user_id.as_bytes();
        if name.len() < MIN_MASKED_BYTES {
            return None;
        }
        let (mut masked, mut is_found, mut place) = (message.to_vec(), false, 0);
        while let Some(found) =
            masked.get(place..).and_then(|rest| rest.windows(name.len()).position(|part| part == name))
        {
            place += found;
            masked[place..place + name.len()].fill(b'*');
            is_found = true;
        }
        is_found.then_some(masked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_out(message: &str) -> Option<String> {
        let advertiser_id = &AdvertiserId::new("adv_001").unwrap();
        let user = User { advertiser_id, user_id: "anna \"the\" cook", stand_in: "erased-1" };
        user.taken_out(message.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_message_loses_the_user_and_what_it_says_of_the_user() {
        let click =
            r#"{"advertiser_id":"adv_001","user_id":"anna \"the\" cook","ip_hash":"ab","country":"DE"}"#;
        assert_eq!(
            taken_out(click).as_deref(),
            Some(r#"{"advertiser_id":"adv_001","country":"DE","user_id":"erased-1"}"#)
        );
        assert!(taken_out(&click.replace("adv_001", "adv_002")).is_none(), "another advertiser's user");
        assert!(taken_out(&click.replace("cook", "baker")).is_none());
        assert!(taken_out(&click.replace("\"advertiser_id\":\"adv_001\",", "")).is_some(), "nobody's");
        assert_eq!(
            taken_out(r#"{"user_id": anna "the" cook, oops"#).as_deref(),
            Some(r#"{"user_id": ***************, oops"#)
        );
        assert_eq!(longest_plain("anna \"the\" cooks"), " cooks");
    }
}
