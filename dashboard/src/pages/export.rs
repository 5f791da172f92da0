//! A report as a file: the server makes it, with what the page asks.

use yew::prelude::*;

use crate::{
    access::use_access,
    download,
    kit::{Item, Menu, use_toast},
    words,
};

/// Formats that the server makes, and what they are called.
const FORMATS: [(&str, &str); 3] = [("csv", "CSV"), ("xlsx", "Excel"), ("parquet", "Parquet")];

/// What is exported.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The address of the file in a format.
    pub(super) url: Callback<AttrValue, String>,
    /// The file's name without its ending.
    #[prop_or(AttrValue::Static("clickwire"))]
    pub(super) name: AttrValue,
}

/// The menu of formats.
#[component]
pub(super) fn Export(props: &Props) -> Html {
    let (access, toast) = (use_access(), use_toast());
    let items = FORMATS.map(|(format, name)| Item::new(format, name)).to_vec();
    let Props { url, name } = props.clone();
    let onchoose = Callback::from(move |format: AttrValue| {
        let name = format!("{name}.{format}");
        download::start(url.emit(format), name, &access.credential, &toast);
    });
    html! { <Menu button={html! { words::EXPORT }} label={words::EXPORT} {items} {onchoose} /> }
}
