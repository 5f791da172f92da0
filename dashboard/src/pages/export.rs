//! Export: a report as a file, which the server makes; a chart as a picture, which the page makes itself; the page on
//! paper.

use yew::prelude::*;

use crate::{
    access::use_access,
    download,
    kit::{Item, Menu, use_toast},
    print, words,
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
    /// The page can be printed from here.
    #[prop_or_default]
    pub(super) prints: bool,
}

/// The ending of a picture, which the page makes itself.
const PICTURE: &str = "png";

/// The key of the item that prints the page.
const PRINT: &str = "print";

/// The menu of formats.
#[component]
pub(super) fn Export(props: &Props) -> Html {
    let (access, toast) = (use_access(), use_toast());
    let items = items(props.onpicture.is_some(), props.prints);
    let Props { url, name, onpicture, .. } = props.clone();
    let onchoose = Callback::from(move |format: AttrValue| {
        if format == PRINT {
            return print::page();
        }
        let name = format!("{name}.{format}");
        match &onpicture {
            Some(onpicture) if format == PICTURE => onpicture.emit(name),
            _ => download::start(url.emit(format), name, &access.credential, &toast),
        }
    });
    html! { <Menu button={html! { words::EXPORT }} label={words::EXPORT} {items} {onchoose} /> }
}

fn items(has_picture: bool, prints: bool) -> Vec<Item> {
    let formats = FORMATS.map(|(format, name)| Item::new(format, name)).into_iter();
    let picture = has_picture.then(|| Item::new(PICTURE, words::PICTURE));
    let paper = prints.then(|| Item::new(PRINT, words::PRINT_OR_PDF));
    formats.chain(picture).chain(paper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_exported_as_file_picture_and_paper() {
        let keys = |has_picture, prints| -> Vec<AttrValue> {
            items(has_picture, prints).into_iter().map(|item| item.key).collect()
        };
        assert_eq!(keys(true, true), ["csv", "xlsx", "parquet", "png", "print"]);
        assert_eq!(keys(false, false), ["csv", "xlsx", "parquet"]);
    }
}
