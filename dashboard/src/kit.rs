//! Components that every page is made of. They know no page and no API: what they show is given to them.

pub mod area;
pub mod chip;
pub mod confirm;
pub mod copy;
pub mod dialog;
pub mod drawer;
pub mod empty;
pub mod field;
pub mod fold;
mod labelled;
pub mod menu;
pub mod pager;
pub mod problem;
pub mod secret;
pub mod segments;
pub mod select;
pub mod switch;
pub mod table;
pub mod tabs;
pub mod toast;

pub use self::{
    area::Area,
    chip::{Badge, Chip},
    confirm::Confirm,
    copy::Copy,
    dialog::Dialog,
    drawer::Drawer,
    empty::Empty,
    field::{Field, use_field},
    fold::Fold,
    menu::{Item, Menu},
    pager::Pager,
    problem::Problem,
    secret::Secret,
    segments::Segments,
    select::Select,
    switch::Switch,
    table::{Column, Loaded, Table},
    tabs::Tabs,
    toast::{Toasts, use_toast},
};

/// The tone of a message: good or bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Neither good nor bad.
    #[default]
    Neutral,
    /// Good.
    Good,
    /// Warning: to be watched.
    Warning,
    /// Bad.
    Critical,
}

impl Tone {
    /// The name in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// An icon out of one path, on a field of 16 by 16.
pub fn icon(path: &'static str) -> yew::Html {
    yew::html! { <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d={path} /></svg> }
}

/// A component as HTML, for tests.
#[cfg(test)]
pub(crate) async fn render<C: yew::BaseComponent>(props: C::Properties) -> String {
    yew::LocalServerRenderer::<C>::with_props(props).hydratable(false).render().await
}
