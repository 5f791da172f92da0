//! The choice of the ads that a run clicks on: all of the campaign's, until some are left out.

use std::{collections::BTreeSet, rc::Rc};

use yew::prelude::*;

use crate::{api::Ad, words};

/// Ads that are left out, by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LeftOut(BTreeSet<String>);

impl Reducible for LeftOut {
    type Action = String;

    /// Leaves an ad out, or takes it back.
    fn reduce(self: Rc<Self>, ad_id: String) -> Rc<Self> {
        let mut ads = self.0.clone();
        if !ads.remove(&ad_id) {
            ads.insert(ad_id);
        }
        Rc::new(Self(ads))
    }
}

impl LeftOut {
    /// Returns the ids of the ads that are chosen.
    pub(super) fn chosen(&self, ads: &[Ad]) -> Vec<String> {
        let ids = ads.iter().map(|ad| &ad.ad_id);
        ids.filter(|id| !self.0.contains(*id)).cloned().collect()
    }
}

/// Properties of the choice.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The campaign's ads.
    pub(super) ads: Vec<Ad>,
    /// Those that are left out.
    pub(super) left_out: LeftOut,
    /// Hears the id of an ad to leave out or to take back.
    pub(super) onturn: Callback<String>,
}

/// The choice.
#[component]
pub(super) fn Ads(props: &Props) -> Html {
    let has_none = props.left_out.chosen(&props.ads).is_empty();
    html! {
        <fieldset class="choice" aria-describedby={has_none.then_some("test-ads-error")}>
            <legend>{ words::ADS }</legend>
            { for props.ads.iter().map(|ad| {
                let id = ad.ad_id.clone();
                html! {
                    <label key={id.clone()}>
                        <input type="checkbox" name={id.clone()} checked={!props.left_out.0.contains(&id)} onchange={props.onturn.reform(move |_: Event| id.clone())} />
                        <bdi>{ &ad.name }</bdi>
                    </label>
                }
            }) }
            if has_none {
                <p id="test-ads-error" class="field-error">{ words::NO_AD_CHOSEN }</p>
            }
        </fieldset>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::render;

    fn ads() -> Vec<Ad> {
        let ad = |id: &str| Ad { ad_id: id.into(), name: format!("Ad {id}"), target_url: String::new() };
        vec![ad("a"), ad("b")]
    }

    #[tokio::test]
    async fn all_ads_are_chosen_until_one_is_left_out() {
        let shown = async |left_out: &LeftOut| {
            let props = Props { ads: ads(), left_out: left_out.clone(), onturn: Callback::noop() };
            render::<Ads>(props).await
        };
        let none = Rc::new(LeftOut::default());
        assert_eq!(none.chosen(&ads()), ["a", "b"]);
        assert_eq!(shown(&none).await.matches(" checked").count(), 2);
        let one = none.reduce("a".into());
        assert_eq!(one.chosen(&ads()), ["b"]);
        assert_eq!(shown(&one).await.matches(" checked").count(), 1);
        let both = one.clone().reduce("b".into());
        assert!(both.chosen(&ads()).is_empty());
        assert!(shown(&both).await.contains(words::NO_AD_CHOSEN.get()));
        assert_eq!(one.reduce("a".into()).chosen(&ads()), ["a", "b"], "taken back");
    }
}
