//! Files that the server or the page makes, saved by the browser.

use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, HtmlAnchorElement, Url};
use yew::prelude::*;

use crate::{account::Credential, words};

/// Makes the browser save a file at an address of the API; `name` is its name where the server can't give one. A
/// failure is shown as a toast.
pub fn start(url: String, name: String, credential: &Credential, toast: &Callback<AttrValue>) {
    match credential.token().map(str::to_owned) {
        // The browser's own download, which keeps no file in memory.
        None => save(&url, ""),
        Some(token) => {
            let toast = toast.clone();
            spawn_local(async move {
                if fetch(&url, &token, &name).await.is_none() {
                    toast.emit(words::NOT_EXPORTED.into());
                }
            });
        }
    }
}

/// Makes the browser save the file at an address, under the server's name unless another is given.
fn save(url: &str, name: &str) {
    let document = web_sys::window().and_then(|window| window.document());
    let anchor = document.and_then(|document| document.create_element("a").ok());
    if let Some(anchor) = anchor.and_then(|anchor| anchor.dyn_into::<HtmlAnchorElement>().ok()) {
        anchor.set_href(url);
        anchor.set_download(name);
        anchor.click();
    }
}

/// Fetches a file that needs a token, which the browser can't send by itself, and saves it.
async fn fetch(url: &str, token: &str, name: &str) -> Option<()> {
    let request = gloo_net::http::Request::get(url).header("Authorization", &format!("Bearer {token}"));
    let response = request.send().await.ok().filter(gloo_net::http::Response::ok)?;
    let body =
        JsFuture::from(web_sys::Response::from(response).blob().ok()?).await.ok()?.dyn_into::<Blob>().ok()?;
    keep(&body, name)
}

/// Makes the browser save a file that is in its memory.
pub fn keep(body: &Blob, name: &str) -> Option<()> {
    let object = Url::create_object_url_with_blob(body).ok()?;
    save(&object, name);
    // The browser has it by now.
    Url::revoke_object_url(&object).ok()
}
