//! The program of pages about clicks, in the document's `#app`.

use clickwire_dashboard::{app, bundles};

fn main() {
    app::start(bundles::clicks);
}
