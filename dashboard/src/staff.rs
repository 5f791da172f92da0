//! The program of operators' and administrators' pages, in the document's `#app`.

use clickwire_dashboard::{app, bundles};

fn main() {
    app::start(bundles::staff);
}
