//! The servers, for real: installed if they are missing, started, crashed, restarted and cleaned up.

mod clean_up;
mod control;
mod start;
