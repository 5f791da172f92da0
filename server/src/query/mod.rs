//! Questions to the database, scoped by the caller's access.
//!
//! - [`analytics`]: counts over time, unique users among them
//! - [`entities`]: advertisers and campaigns; [`settings`]: thresholds; [`watermark`]: up to when counts are final

pub(crate) mod analytics;
pub(crate) mod entities;
pub(crate) mod settings;
pub(crate) mod watermark;
