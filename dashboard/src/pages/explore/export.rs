//! A report as a file: the server makes it, with what the page asks.

use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, HtmlAnchorElement, Url};
use yew::prelude::*;

use super::question::Question;
use crate::{
    access::use_access,
    kit::{Item, Menu, use_toast},
    words,
};

/// Formats that the server makes, and what they are called.
const FORMATS: [(&str, &str); 3] = [("csv", "CSV"), ("xlsx", "Excel"), ("parquet", "Parquet")];

/// What is exported.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The question.
    pub(super) question: Question,
}

/// The menu of formats.
#[component]
pub(super) fn Export(props: &Props) -> Html {
    let (access, toast) = (use_access(), use_toast());
    let items = FORMATS.map(|(format, name)| Item::new(format, name)).to_vec();
    let question = props.question.clone();
    let onchoose = Callback::from(move |format: AttrValue| {
        let (url, name) = (question.file(&format), format!("clickwire.{format}"));
        match access.credential.token().map(str::to_owned) {
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
    });
    html! { <Menu button={html! { words::EXPORT }} label={words::EXPORT} {items} {onchoose} /> }
}

/// Has the browser save what is at an address, under the server's name for it unless there is another.
fn save(url: &str, name: &str) {
    let document = web_sys::window().and_then(|window| window.document());
    let anchor = document.and_then(|document| document.create_element("a").ok());
    if let Some(anchor) = anchor.and_then(|anchor| anchor.dyn_into::<HtmlAnchorElement>().ok()) {
        anchor.set_href(url);
        anchor.set_download(name);
        anchor.click();
    }
}

/// A file that only a token opens, which the browser can't send by itself.
async fn fetch(url: &str, token: &str, name: &str) -> Option<()> {
    let request = gloo_net::http::Request::get(url).header("Authorization", &format!("Bearer {token}"));
    let response = request.send().await.ok().filter(gloo_net::http::Response::ok)?;
    let body =
        JsFuture::from(web_sys::Response::from(response).blob().ok()?).await.ok()?.dyn_into::<Blob>().ok()?;
    let object = Url::create_object_url_with_blob(&body).ok()?;
    save(&object, name);
    // The browser has it by now.
    Url::revoke_object_url(&object).ok()
}
