//! Incidents: what operators ask of them, and do with them. Needs an operator's token, or an administrator's.

use clickwire_protocol::alerts::{Alert, Assignees, Outcome, Page, Which, WithNotes};
use hyper::Method;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{Connection, Error, connection::JSON, questions::Parameters};

impl Connection {
    /// One page of incidents, the latest opened first; `before` is the `next` of the page before.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn incidents(&mut self, which: Which, before: Option<Uuid>) -> Result<Page, Error> {
        let before = before.map(|id| id.to_string());
        let asked =
            Parameters::default().text("state", Some(which.as_str())).text("before", before.as_deref());
        self.ask(Method::GET, &asked.of("/api/v1/alerts"), &[], Vec::new()).await
    }

    /// One incident with the notes about it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn incident(&mut self, alert_id: Uuid) -> Result<WithNotes, Error> {
        self.ask(Method::GET, &format!("/api/v1/alerts/{alert_id}"), &[], Vec::new()).await
    }

    /// Names of those to whom an incident can be given.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn assignees(&mut self) -> Result<Vec<String>, Error> {
        let Assignees { data } = self.ask(Method::GET, "/api/v1/alerts/assignees", &[], Vec::new()).await?;
        Ok(data)
    }

    /// Takes notice of an incident. The first acknowledgement is kept; another one does nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn acknowledge_incident(&mut self, alert_id: Uuid) -> Result<Alert, Error> {
        self.order(Method::POST, alert_id, "acknowledge", None).await
    }

    /// Gives an open incident to one of the assignees, or to nobody. If somebody else has it by now than `from` says,
    /// nothing is done: [`Error::Refused`] with 409.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn assign_incident(
        &mut self,
        alert_id: Uuid,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Alert, Error> {
        self.order(Method::POST, alert_id, "assign", Some(json!({"from": from, "to": to}))).await
    }

    /// Writes a note about an incident, open or over.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn note_incident(&mut self, alert_id: Uuid, text: &str) -> Result<Alert, Error> {
        self.order(Method::POST, alert_id, "notes", Some(json!({"text": text}))).await
    }

    /// Silences what an open incident is about until a time within the next 30 days: nobody is called because of it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn silence_incident(
        &mut self,
        alert_id: Uuid,
        until: OffsetDateTime,
        reason: &str,
    ) -> Result<Alert, Error> {
        let until = until.format(&Rfc3339).map_err(|error| Error::Unsendable(format!("until: {error}")))?;
        self.order(Method::POST, alert_id, "silence", Some(json!({"until": until, "reason": reason}))).await
    }

    /// Lifts the silence on what an incident is about.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn unsilence_incident(&mut self, alert_id: Uuid) -> Result<Alert, Error> {
        self.order(Method::DELETE, alert_id, "silence", None).await
    }

    /// Ends an open incident. What is still so is found again, and opened as another one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resolve_incident(&mut self, alert_id: Uuid, reason: &str) -> Result<Alert, Error> {
        self.order(Method::POST, alert_id, "resolve", Some(json!({"reason": reason}))).await
    }

    /// The same of an incident about clicks that rules have convicted, with what the caller says of that.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn judge_incident(
        &mut self,
        alert_id: Uuid,
        outcome: Outcome,
        reason: &str,
    ) -> Result<Alert, Error> {
        let body = json!({"reason": reason, "outcome": outcome});
        self.order(Method::POST, alert_id, "resolve", Some(body)).await
    }

    /// Changes an incident; the answer is the incident as it is then.
    async fn order(
        &mut self,
        method: Method,
        alert_id: Uuid,
        what: &str,
        body: Option<Value>,
    ) -> Result<Alert, Error> {
        let path = format!("/api/v1/alerts/{alert_id}/{what}");
        match body {
            Some(body) => self.ask(method, &path, &[JSON], body.to_string().into_bytes()).await,
            None => self.ask(method, &path, &[], Vec::new()).await,
        }
    }
}
