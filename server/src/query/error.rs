//! Reasons why an export was not made, or not given.

use axum::http::StatusCode;
use thiserror::Error as ThisError;

use crate::http::{
    error::{Kind, Problem},
    openapi::groups,
};

/// The reason why there is no export.
#[derive(Debug, ThisError)]
pub(crate) enum QueryError {
    /// The caller has as many as are kept.
    #[error("too many exports are kept")]
    TooManyJobs,
    /// The file is not there yet, or never will be.
    #[error("the export is not done")]
    NotReady,
    /// The file would have too many bytes.
    #[error("the file is too large")]
    FileTooLarge,
    /// The database was away in the middle of the export.
    #[error("the export was cut off")]
    CutOff,
}

impl Problem for QueryError {
    fn kind(&self) -> Kind {
        match self {
            Self::TooManyJobs => Kind(
                StatusCode::CONFLICT,
                "too_many_exports",
                "Five exports are kept for you. Delete one, or wait until one expires.",
            ),
            Self::NotReady => {
                Kind(StatusCode::CONFLICT, "not_ready", "The file is not there. Ask for the export's status.")
            }
            Self::FileTooLarge => Kind(
                StatusCode::UNPROCESSABLE_ENTITY,
                "file_too_large",
                "A file has 1 GiB at most. Ask for less, or for Parquet.",
            ),
            Self::CutOff => {
                Kind(StatusCode::SERVICE_UNAVAILABLE, "cut_off", "The export ended early. It is tried again.")
            }
        }
    }
}

groups! {
    /// The caller has as many exports as are kept.
    TooMany: QueryError::TooManyJobs;
    /// The export's file is not there.
    NotReady: QueryError::NotReady;
}
