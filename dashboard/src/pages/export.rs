//! Export: a report as a file, which the server makes; a chart as a picture, which the page makes itself.

use yew::prelude::*;

use crate::{
    access::use_access,
    download,
    kit::{Item, Menu, use_toast},
    words,
};

/// Formats that the server makes, with their names.
const FORMATS: [(&str, &str); 3] = [("csv", "CSV"), ("xlsx", "Excel"), ("parquet", "Parquet")];

/// Properties of the menu.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The address of the file in a format.
    pub(super) url: Callback<AttrValue, String>,
    /// The file's name without its ending.
    #[prop_or(AttrValue::Static("clickwire"))]
    pub(super) name: AttrValue,
    /// Saves a picture; `None`: there is none.
    #[prop_or_default]
    pub(super) onpicture: Option<Callback<String>>,
}

/// The ending of a picture, which the page makes itself.
const PICTURE: &str = "png";

/// The menu of formats.
#[component]
pub(super) fn Export(props: &Props) -> Html {
    let (access, toast) = (use_access(), use_toast());
    let mut items = FORMATS.map(|(format, name)| Item::new(format, name)).to_vec();
    let Props { url, name, onpicture } = props.clone();
    if onpicture.is_some() {
        items.push(Item::new(PICTURE, words::PICTURE));
    }
    let onchoose = Callback::from(move |format: AttrValue| {
        let name = format!("{name}.{format}");
        match &onpicture {
            Some(onpicture) if format == PICTURE => onpicture.emit(name),
            _ => download::start(url.emit(format), name, &access.credential, &toast),
        }
    });
    html! { <Menu button={html! { words::EXPORT }} label={words::EXPORT} {items} {onchoose} /> }
}
