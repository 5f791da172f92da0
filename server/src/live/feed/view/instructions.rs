//! What dashboards are told, whose instructions `cargo xtask bench instructions` counts.

use std::hint::black_box;

use clickwire_protocol::{
    analytics::Dimension,
    counts::DeviceType,
    ids::{AdId, AdvertiserId, CampaignId},
    live::Filters,
    times::{Minute, UnixMs},
};

use super::*;

/// The ticks of a count; `xtask` divides by it.
const TICKS: usize = 100;
/// Clicks that a tick tells of.
const CLICKS: usize = 20;
/// Sessions that are told, with ids of their own.
const SESSIONS: u32 = 10;

fn view() -> ViewState {
    let mut state = ViewState::new(
        View {
            advertiser_id: AdvertiserId::unchecked("adv_001"),
            filters: Filters::default(),
            group_by: vec![Dimension::CampaignId],
            window_minutes: 240,
        },
        InFlight::default(),
    );
    for minute in 0..240 {
        (0..40).for_each(|campaign| add(&mut state, minute, campaign, 1));
    }
    state.advance(&Position { epoch: "e".into(), seq: 1 });
    state.tick(Minute(240), Minute(0), None);
    state
}

fn add(state: &mut ViewState, minute: i64, campaign: usize, seq: u64) {
    let dimensions = Dimensions {
        campaign_id: CampaignId::unchecked(format!("camp_{campaign:03}")),
        ad_id: AdId::unchecked("ad_0001"),
        country: "DE".into(),
        device_type: DeviceType::Mobile,
    };
    state.add(Minute(minute), &dimensions, Counts { valid: 1, ..Counts::default() }, seq);
}

#[inline(never)]
fn counted_frames(state: &mut ViewState, mut told: Cursor) -> usize {
    let mut bytes = 0;
    for tick in 0..TICKS {
        let seq = tick as u64 + 2;
        (0..CLICKS).for_each(|click| add(state, 240 - click as i64 % 2, (tick + click) % 40, seq));
        state.count(14_400, CLICKS as i64);
        state.advance(&Position { epoch: "e".into(), seq });
        state.tick(Minute(240), Minute(0), Some(Progress::new(UnixMs(tick as i64 * 100), None)));
        for session in 0..SESSIONS {
            let Some(step) = state.next(&told) else { return 0 };
            bytes += black_box(step.body.frame(session)).len();
            if session == SESSIONS - 1 {
                told = step.to;
            }
        }
    }
    bytes
}

#[test]
fn sessions_are_told() {
    let mut state = view();
    let (_, told) = state.everything();
    assert!(counted_frames(&mut state, told) > TICKS * SESSIONS as usize * 500);
}
