//! The database of the server: its connections, and what every server knows within seconds.
//!
//! - [`database`]: pools by kind of work, and transactions that see what a tenant may see
//! - [`scope`]: what a tenant may see
//! - [`following`]: copies in memory that follow a table
//! - [`deployment`]: the deployment that the database belongs to
//! - [`params`]: parameters of a click's link, as a column holds them

pub(crate) mod database;
pub(crate) mod deployment;
pub(crate) mod error;
pub(crate) mod following;
pub(crate) mod params;
pub(crate) mod scope;
