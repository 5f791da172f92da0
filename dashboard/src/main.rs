//! Starts the page in the document's `#app`.

use clickwire_dashboard::app::App;

fn main() {
    let root = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.get_element_by_id("app"));
    if let Some(root) = root {
        // What stands there until the page is loaded.
        root.set_inner_html("");
        yew::Renderer::<App>::with_root(root).render();
    }
}
