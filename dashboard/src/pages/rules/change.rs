//! The form of a new version; its differences are shown before it is saved. It is made from the version that was the
//! newest when the form was opened, and refused if another one has come since.

use clickwire_protocol::rules::parameters;
use serde_json::json;
use yew::prelude::*;

use super::{
    super::{beside, on_submit, wrong},
    difference::{self, Setting, changes},
    draft::{Draft, judges, modes, named_in},
    preview::Preview,
};
use crate::{
    api::Rule,
    ask::use_mutation,
    frame::View,
    http::{Failure, Method, Request},
    kit::{Field, Segments, use_field, use_toast},
    words,
};

/// Properties of the form.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The newest version that is known.
    pub(super) newest: Rule,
    /// The address.
    pub(super) view: View,
    /// Hears that there is a new version.
    pub(super) onsaved: Callback<()>,
    /// Hears that another version may have come.
    pub(super) onstale: Callback<()>,
}

/// The form.
#[component]
pub(super) fn ChangeForm(props: &Props) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let base = use_state(|| props.newest.clone());
    let draft = use_state_eq(|| Draft::of(&props.newest.rule, &Setting::of(&props.newest)));
    let (reason, onreason) = use_field("");
    {
        let onstale = props.onstale.clone();
        let status = mutation.failure.as_ref().and_then(Failure::status);
        use_effect_with(status, move |status| {
            if *status == Some(409) {
                onstale.emit(());
            }
        });
    }
    let rule = base.rule.clone();
    let before = Setting::of(&base);
    let wanted = draft.setting(&rule);
    let differences = wanted.as_ref().map(|wanted| changes(&rule, Some(&before), wanted));
    let is_stale = props.newest.version > base.version;
    let onbegin = {
        let (base, draft, newest, mutation) =
            (base.clone(), draft.clone(), props.newest.clone(), mutation.clone());
        Callback::from(move |_: MouseEvent| {
            draft.set(Draft::of(&newest.rule, &Setting::of(&newest)));
            base.set(newest.clone());
            mutation.forget();
        })
    };
    let onsubmit = {
        let (mutation, toast, onsaved) = (mutation.clone(), toast.clone(), props.onsaved.clone());
        let zone = props.view.zone.clone();
        let url = format!("/api/v1/admin/rules/{rule}");
        let body = wanted.as_ref().map(|wanted| {
            json!({
                "mode": wanted.mode, "parameters": wanted.parameters, "reason": reason.trim(), "if_version": base.version,
            })
        });
        let then = Callback::from(move |saved: Rule| {
            let at = zone.stamp(&saved.effective_at);
            toast.emit(words::rule_saved(saved.version, &at).into());
            onsaved.emit(());
        });
        on_submit(move || {
            if let Some(body) = &body {
                mutation.run(Request::with(Method::Put, &url, body), then.clone());
            }
        })
    };
    let onmode = {
        let draft = draft.clone();
        Callback::from(move |mode: AttrValue| draft.set(Draft { mode: mode.to_string(), ..(*draft).clone() }))
    };
    let of_all = wrong(&mutation, "parameters");
    let of_one = of_all.as_deref().and_then(|message| named_in(&rule, message));
    let fields = parameters::of(&rule).iter().enumerate().map(|(index, parameter)| {
        let oninput = {
            let draft = draft.clone();
            Callback::from(move |text: String| {
                let mut changed = (*draft).clone();
                changed.texts[index] = text;
                draft.set(changed);
            })
        };
        let error = draft.fault(&rule, index).or_else(|| of_all.clone().filter(|_| of_one == Some(index)));
        html! {
            <Field id={format!("rule-{}", parameter.name)} key={parameter.name} kind="number" label={words::parameter_field(parameter)}
                value={draft.texts[index].clone()} {oninput} required=true {error} hint={words::parameter_bounds(parameter)} />
        }
    });
    let options = modes(&rule).iter().map(|mode| ((*mode).into(), words::rule_mode(mode).to_owned().into()));
    let is_any = differences.as_ref().is_some_and(|differences| !differences.is_empty());
    // What is said at a field is not said again beside them.
    let shown: &[&str] =
        if of_one.is_some() { &["mode", "reason", "parameters"] } else { &["mode", "reason"] };
    html! {
        <form class="form rule-form" {onsubmit} data-testid="rule-form" aria-label={words::CHANGE_RULE}>
            if is_stale {
                <div class="problem" role="alert" data-testid="rule-stale">
                    <p>{ words::changed_meanwhile(props.newest.version, &props.newest.changed_by, &props.newest.reason, base.version) }</p>
                    <button type="button" class="quiet" onclick={onbegin}>{ words::BEGIN_AGAIN }</button>
                </div>
            }
            <div class="field">
                <Segments label={words::MODE} options={options.collect::<Vec<_>>()} value={draft.mode.clone()} onchoose={onmode} />
                if let Some(error) = wrong(&mutation, "mode") {
                    <p class="field-error" role="alert">{ error }</p>
                }
                <p class="field-hint">{ words::rule_mode_why(&draft.mode, judges(&rule)) }</p>
            </div>
            { for fields }
            <Field id="rule-reason" label={words::REASON} value={reason.clone()} oninput={onreason} required=true hint={words::RULE_REASON_HINT} error={wrong(&mutation, "reason")} />
            <div class="rule-difference" data-testid="rule-difference">
                <h3>{ words::TO_BE_SAVED }</h3>
                if let Some(differences) = differences.filter(|differences| !differences.is_empty()) {
                    { difference::table(&words::TO_BE_SAVED, &differences) }
                    <p class="soft">{ if judges(&rule) { words::CHANGE_RULE_WHY } else { words::CHANGE_ALERT_WHY } }</p>
                } else if wanted.is_some() {
                    <p class="soft">{ words::NOTHING_DIFFERS }</p>
                }
            </div>
            if let Some(wanted) = wanted.filter(|_| is_any) {
                <Preview key={format!("{} {}", wanted.mode, wanted.parameters)} rule={rule.clone()} wanted={wanted.clone()} zone={props.view.zone.clone()} />
            }
            if !is_stale {
                { beside(&mutation, shown) }
            }
            <div class="form-end">
                <button type="submit" class="primary" disabled={mutation.is_busy || is_stale || !is_any}>{ words::SAVE }</button>
            </div>
        </form>
    }
}
