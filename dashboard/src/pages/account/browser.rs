//! Choices that this browser keeps for the viewer: what an incident does, the time zone.

use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::{
    calls::{self, Permission},
    kit::{Select, Switch as Shown},
    preferences::{self, Switch, use_switch},
    router::use_router,
    words, zone,
};

/// Switches of an operator: notifications, the tone, shortcuts.
#[component]
pub(super) fn Incidents() -> Html {
    let (has_shortcuts, onshortcuts) = use_switch(Switch::Shortcuts);
    let (notifies, keep) = use_switch(Switch::Notifications);
    let (sounds, onsound) = use_switch(Switch::Sound);
    let permission = use_state_eq(|| Permission::Granted);
    {
        let permission = permission.setter();
        use_effect_with(notifies, move |&notifies| {
            if notifies {
                permission.set(calls::permission());
            }
        });
    }
    let onnotify = {
        let permission = permission.setter();
        Callback::from(move |is_on: bool| {
            let (keep, permission) = (keep.clone(), permission.clone());
            if !is_on {
                permission.set(Permission::Granted);
                return keep.emit(false);
            }
            spawn_local(async move {
                let answer = calls::ask().await;
                permission.set(answer);
                keep.emit(answer == Permission::Granted);
            });
        })
    };
    let onsound = Callback::from(move |is_on: bool| {
        onsound.emit(is_on);
        if is_on {
            calls::play();
        }
    });
    html! {
        <>
            <Shown text={words::NOTIFY} is_on={notifies} onswitch={onnotify} testid="notify" />
            if let Some(text) = words::not_notified(*permission) {
                <p class="problem" role="alert">{ text }</p>
            }
            <Shown text={words::PLAY_SOUND} is_on={sounds} onswitch={onsound} testid="sound" />
            <p class="soft">{ words::CALLS_HINT }</p>
            <Shown text={words::SHORTCUTS} is_on={has_shortcuts} onswitch={onshortcuts} testid="shortcuts" />
            <p class="soft">{ words::KEYS_HINT }</p>
        </>
    }
}

/// Properties of the choice of a zone.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct ZoneProps {
    /// Hears that another one is chosen.
    pub(super) onchanged: Callback<()>,
}

/// The choice of the time zone in which times are written wherever an address names none.
#[component]
pub(super) fn Zones(props: &ZoneProps) -> Html {
    let router = use_router();
    let all = use_state_eq(|| vec!["UTC".to_owned()]);
    let chosen = use_state_eq(|| None::<String>);
    {
        let (all, chosen) = (all.setter(), chosen.setter());
        use_effect_with((), move |()| {
            all.set(zone::all());
            chosen.set(preferences::zone());
        });
    }
    let mut options = vec![(AttrValue::default(), AttrValue::from(words::ZONE_OF_BROWSER))];
    options.extend(all.iter().map(|name| (name.clone().into(), name.replace('_', " ").into())));
    let value = (*chosen).clone().unwrap_or_default();
    let onchoose = {
        let (chosen, onchanged) = (chosen.setter(), props.onchanged.clone());
        Callback::from(move |name: AttrValue| {
            let name = Some(name.to_string()).filter(|name| !name.is_empty());
            preferences::keep_zone(name.as_deref());
            chosen.set(name);
            // What this address names would stand against it.
            let mut to = router.place.clone();
            to.query.zone = None;
            router.replace(to);
            onchanged.emit(());
        })
    };
    html! {
        <>
            <Select id="account-zone-choice" label={words::ZONE} {options} {value} {onchoose} />
            <p class="soft">{ words::ZONE_HINT }</p>
        </>
    }
}
