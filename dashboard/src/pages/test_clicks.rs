//! `/test-clicks`: clicks that are marked as test, posted through the API as a program posts them, with a key of their
//! own that is revoked afterwards. They are in the ledger and on no bill.

mod ads;
mod mix;
mod run;

use std::{cell::Cell, rc::Rc};

use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use self::{
    ads::{Ads, LeftOut},
    mix::{DEVICES, Mix},
    run::{Progress, Run, State},
};
use super::{Sheet, on_submit, registered};
use crate::{
    access::use_access,
    api::{Ad, Campaign, Page},
    ask::use_query,
    format,
    frame::View,
    http,
    kit::{Empty, Field, Problem, Select, use_field},
    query::Query,
    route::Route,
    router::{Link, Place},
    words,
};

/// Clicks of one run, at most.
const MAX_CLICKS: u32 = 5_000;

/// Clicks a second, at most.
const MAX_RATE: u32 = 500;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// Returns a whole number of a range, or the text of the error.
fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    let read = text.trim().parse().ok().filter(|number| range.contains(number));
    read.ok_or_else(|| words::expected_number(*range.start(), *range.end()))
}

/// The page.
#[component]
pub fn TestClicks(props: &Props) -> Html {
    let access = use_access();
    let scope = props.view.scope.as_ref().map(ToString::to_string);
    let url = scope.clone().map(|id| http::url("/api/v1/campaigns", [("advertiser_id", Some(id))]));
    let campaigns = use_query::<Page<Campaign>>(url);
    let known = campaigns.data.as_ref().map(|page| page.data.clone()).unwrap_or_default();
    let chosen = use_state_eq(|| None::<String>);
    let is_known = |id: &&String| known.iter().any(|campaign| campaign.campaign_id == **id);
    let campaign_id =
        (*chosen).as_ref().filter(is_known).or(known.first().map(|first| &first.campaign_id)).cloned();
    let ads = use_query::<Page<Ad>>(campaign_id.as_ref().map(|id| registered("campaigns", id) + "/ads"));
    let (clicks, onclicks) = use_field("100");
    let (rate, onrate) = use_field("20");
    let (countries, oncountries) = use_field("DE, FR, US");
    let (robots, onrobots) = use_field("10");
    let device = use_state_eq(|| AttrValue::Static(DEVICES[0].0));
    let progress = use_state_eq(|| None::<Progress>);
    let stop = use_memo((), |()| Cell::new(false));
    {
        // Whoever leaves the page stops what it does.
        let stop = stop.clone();
        use_effect_with((), move |()| move || stop.set(true));
    }
    let (clicks_read, rate_read) = (number(&clicks, 1..=MAX_CLICKS), number(&rate, 1..=MAX_RATE));
    let (robots_read, countries_read) = (number(&robots, 0..=100), mix::countries(&countries));
    let left_out = use_reducer(LeftOut::default);
    let all_ads = ads.data.as_ref().map(|page| page.data.clone()).unwrap_or_default();
    let ad_ids = left_out.chosen(&all_ads);
    let has_no_ads = ads.data.is_some() && all_ads.is_empty();
    let is_under_way = progress.as_ref().is_some_and(|progress| !progress.state.is_over());
    let wanted = match (
        &scope,
        campaign_id.clone(),
        clicks_read.as_ref(),
        rate_read.as_ref(),
        robots_read.as_ref(),
        &countries_read,
    ) {
        (Some(advertiser_id), Some(campaign_id), Ok(&clicks), Ok(&rate), Ok(&robots), Ok(countries))
            if !ad_ids.is_empty() =>
        {
            let mix = Mix {
                advertiser_id: advertiser_id.clone(),
                campaign_id,
                ads: ad_ids,
                countries: countries.clone(),
                device: device.to_string(),
                robots,
            };
            Some((mix, clicks, rate))
        }
        _ => None,
    };
    let can_start = wanted.is_some() && !is_under_way;
    let onsubmit = {
        let (stop, progress, credential) = (stop.clone(), progress.setter(), access.credential.clone());
        on_submit(move || {
            let Some((mix, clicks, rate)) = wanted.clone().filter(|_| can_start) else { return };
            stop.set(false);
            let (stop, tell, credential): (Rc<Cell<bool>>, _, _) =
                (stop.clone(), progress.clone(), credential.clone());
            spawn_local(Run { mix, clicks, rate, credential, stop }.go(move |now| tell.set(Some(now))));
        })
    };
    let options = |campaign: &Campaign| (campaign.campaign_id.clone().into(), campaign.name.clone().into());
    let onchoose = {
        let chosen = chosen.setter();
        Callback::from(move |id: AttrValue| chosen.set(Some(id.to_string())))
    };
    let ondevice = {
        let device = device.setter();
        Callback::from(move |chosen| device.set(chosen))
    };
    let onturn = {
        let left_out = left_out.dispatcher();
        Callback::from(move |ad_id| left_out.dispatch(ad_id))
    };
    let onstop = Callback::from(move |_: MouseEvent| stop.set(true));
    let failure = campaigns.failure.clone().or(ads.failure.clone());
    let onretry = {
        let (campaigns, ads) = (campaigns.reload.clone(), ads.reload.clone());
        Callback::from(move |()| {
            campaigns.emit(());
            ads.emit(());
        })
    };
    let is_empty = campaigns.data.as_ref().is_some_and(|page| page.data.is_empty());
    html! {
        <Sheet title={words::TEST_CLICKS}>
            <p class="soft lead">{ words::TEST_CLICKS_LEAD }</p>
            if let Some(failure) = failure {
                <Problem {failure} {onretry} />
            }
            if is_empty {
                <Empty title={words::NO_CAMPAIGNS} text={words::NO_CAMPAIGNS_WHY} />
            }
            if let Some(campaign_id) = campaign_id {
                <form class="form row panel" {onsubmit}>
                    <Select id="test-campaign" label={words::CAMPAIGN} options={known.iter().map(options).collect::<Vec<_>>()} value={campaign_id} {onchoose} />
                    <Field id="test-clicks" label={words::CLICKS} kind="number" value={clicks} oninput={onclicks} required=true error={clicks_read.err()} />
                    <Field id="test-rate" label={words::CLICKS_PER_SECOND} kind="number" value={rate} oninput={onrate} required=true error={rate_read.err()} />
                    <Field id="test-countries" label={words::COUNTRIES} value={countries} oninput={oncountries} required=true error={countries_read.err()} />
                    <Select id="test-device" label={words::DEVICE} options={DEVICES.map(|(key, text)| (key.into(), text.into())).to_vec()} value={(*device).clone()} onchoose={ondevice} />
                    <Field id="test-robots" label={words::SHARE_OF_ROBOTS} kind="number" value={robots} oninput={onrobots} required=true error={robots_read.err()} />
                    if !all_ads.is_empty() {
                        <Ads ads={all_ads} left_out={(*left_out).clone()} {onturn} />
                    }
                    if has_no_ads {
                        <p class="problem" role="alert">{ words::CAMPAIGN_WITHOUT_ADS }</p>
                    }
                    <button type="submit" class="primary" disabled={!can_start}>{ words::SEND }</button>
                </form>
            }
            if let Some(progress) = &*progress {
                <Report progress={progress.clone()} {onstop} />
            }
        </Sheet>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct ReportProps {
    progress: Progress,
    onstop: Callback<MouseEvent>,
}

/// The progress of a run, and its result.
#[component]
fn Report(props: &ReportProps) -> Html {
    let Progress { state, wanted, accepted, counted, user_id } = &props.progress;
    let failure = if let State::Failed(failure) = state { Some(failure.clone()) } else { None };
    let at = Place::new(
        Route::Clicks,
        Query { search: format!("user:{}", crate::query::encode(user_id)), ..Query::default() },
    );
    html! {
        <section class="panel" data-testid="test-run" data-state={state.name()}>
            <progress max={wanted.to_string()} value={accepted.to_string()} aria-label={words::ACCEPTED} />
            <p role="status">{ words::test_run(&state.said(), i64::from(*accepted), i64::from(*wanted)) }</p>
            if let Some(counted) = counted {
                <p>{ words::counted_of(*counted as i64, i64::from(*accepted)) }</p>
            }
            if let Some(failure) = failure {
                <Problem {failure} />
            }
            <div class="links">
                if *state == State::Sending {
                    <button type="button" class="quiet" onclick={props.onstop.clone()}>{ words::STOP }</button>
                }
                if *accepted > 0 {
                    <Link to={at}>{ format!("{} ({})", words::SHOW_CLICKS, format::count(i64::from(*accepted))) }</Link>
                }
            </div>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::render;

    #[test]
    fn a_number_is_within_its_bounds() {
        assert_eq!(number(" 7 ", 1..=10), Ok(7));
        for wrong in ["", "0", "11", "1.5", "-1", "many"] {
            assert!(number(wrong, 1..=10).unwrap_err().contains("1 to 10"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_run_says_how_far_it_is_and_can_be_stopped_until_it_is_over() {
        let said = async |state: State, counted: Option<usize>| {
            let progress =
                Progress { state, wanted: 100, accepted: 40, counted, user_id: "test 1".to_owned() };
            render::<Report>(ReportProps { progress, onstop: Callback::noop() }).await
        };
        let sending = said(State::Sending, None).await;
        for expected in ["40 of 100", words::STOP.get(), "q=user:test%25201"] {
            assert!(sending.contains(expected), "{expected}: {sending}");
        }
        let done = said(State::Done, Some(40)).await;
        assert!(done.contains("40 of 40") && !done.contains(words::STOP.get()), "{done}");
        let failed = said(State::Failed(http::Failure::Away), None).await;
        assert!(failed.contains(words::AWAY.get()) && !failed.contains(words::STOP.get()), "{failed}");
    }
}
