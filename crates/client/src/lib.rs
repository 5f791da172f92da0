//! The HTTP API for programs in Rust, with the types of `clickwire-protocol`.
//!
//! - [`Server`]: where a server is, and what opens it
//! - [`Connection`]: one kept-alive connection: posts ([`posts`]), questions ([`questions`]),
//!   incidents ([`incidents`]), or any request
//! - [`Export`]: a file, piece by piece ([`exports`])
//! - [`Watch`]: a view of live data that survives its connections ([`live`])
//! - [`Error`]: why something was not done, and whether it is worth trying again
//!
//! ```no_run
//! use clickwire_client::{Connection, NewClick, ReportQuery, Server};
//! use clickwire_protocol::ids::{AdId, AdvertiserId, CampaignId};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let advertiser = AdvertiserId::new("adv_001")?;
//! let mut poster = Server::new("https://clicks.example", "an ingest key")?.connection();
//! let click = NewClick::new(advertiser.clone(), CampaignId::new("camp_001")?, AdId::new("ad_001")?);
//! let accepted = poster.post_click(&click).await?;
//!
//! let mut viewer = Server::new("https://clicks.example", "a viewer token")?.connection();
//! let query = ReportQuery { advertiser_id: Some(advertiser), ..ReportQuery::default() };
//! println!("{} of {} clicks are billed", viewer.summary(&query).await?.totals.billable, accepted.click_id);
//! # Ok(())
//! # }
//! ```
//!
//! Every wait has a limit, every answer that is held in memory, too. A connection is made when it is first needed
//! and again when it broke; a request that may have been done is never repeated unasked
//! ([`Connection::post_click_until`] does, because a click has an id).

mod connection;
mod error;
pub mod exports;
pub mod incidents;
pub mod live;
pub mod posts;
pub mod questions;
mod server;

pub use crate::{
    connection::{Answer, Connection},
    error::Error,
    exports::{Export, File, Format},
    live::Watch,
    posts::NewClick,
    questions::{AggregateQuery, ClickQuery, Grouping, ReportQuery},
    server::Server,
};
