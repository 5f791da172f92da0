//! The last deliveries to webhooks, for administrators: event, outcome, and the order to send it again.

use clickwire_protocol::deliveries::{DeliveryOutcome, WebhookDeliveries, WebhookDelivery};
use yew::prelude::*;

use super::super::{beside, done};
use crate::{
    ask::{use_interval, use_mutation, use_query},
    format,
    frame::View,
    http::{Method, Request},
    kit::{Badge, Column, Empty, Problem, Table, Tone, use_toast},
    query,
    route::Route,
    router::{Link, Place},
    words,
};

const DELIVERIES: &str = "/api/v1/admin/webhook-deliveries";

/// Interval between two requests for the list, in milliseconds.
const AGAIN_MS: u32 = 5_000;

/// Properties of the list.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The address.
    pub(super) view: View,
}

fn tone(outcome: DeliveryOutcome) -> Tone {
    match outcome {
        DeliveryOutcome::Delivered => Tone::Good,
        DeliveryOutcome::Waiting | DeliveryOutcome::Silenced | DeliveryOutcome::NotSent => Tone::Neutral,
        DeliveryOutcome::GivenUp => Tone::Critical,
    }
}

/// The list.
#[component]
pub(super) fn Deliveries(props: &Props) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let list = use_query::<WebhookDeliveries>(Some(DELIVERIES.to_owned()));
    use_interval(AGAIN_MS, list.reload.clone());
    let rows: Vec<WebhookDelivery> = list.data.as_ref().map(|list| list.data.clone()).unwrap_or_default();
    let count = rows.len();
    let row = {
        let (view, mutation, then) =
            (props.view.clone(), mutation.clone(), done(&toast, words::SENT_AGAIN, &list.reload));
        Callback::from(move |index: usize| {
            let delivery = &rows[index];
            let event = words::delivered_event(&delivery.event, &delivery.kind);
            let onclick = {
                let (mutation, then) = (mutation.clone(), then.clone());
                let url = format!("{DELIVERIES}/{}/resend", query::encode(&delivery.id));
                Callback::from(move |_: MouseEvent| {
                    mutation.send(Request::bare(Method::Post, &url), then.clone());
                })
            };
            let to = delivery
                .alert_id
                .map(|id| Place::new(Route::Incidents(Some(id)), view.place.query.carried()));
            vec![
                html! { view.zone.stamp_ms(delivery.at_ms) },
                html! { words::delivery_channel(delivery.channel) },
                match to {
                    Some(to) => html! { <Link {to}>{ event.clone() }</Link> },
                    None => html! { event.clone() },
                },
                html! { <bdi>{ delivery.receiver.as_deref().unwrap_or(words::OF_THE_AGGREGATOR.get()) }</bdi> },
                html! { format::count(i64::from(delivery.attempts)) },
                html! {
                    <span title={words::delivery_outcome_why(delivery.outcome)}>
                        <Badge text={words::delivery_outcome(delivery.outcome)} tone={tone(delivery.outcome)} />
                    </span>
                },
                html! { delivery.next_ms.map_or_else(|| "–".to_owned(), |at_ms| view.zone.stamp_ms(at_ms)) },
                html! {
                    if delivery.outcome.may_be_resent() {
                        <button type="button" class="link" data-key="resend" aria-label={words::send_again(&event)} disabled={mutation.is_busy} {onclick}>{ words::SEND_AGAIN }</button>
                    }
                },
            ]
        })
    };
    let columns = vec![
        Column::text(words::TIME),
        Column::text(words::CHANNEL),
        Column::text(words::EVENT),
        Column::text(words::RECEIVER),
        Column::number(words::ATTEMPTS),
        Column::text(words::RESULT),
        Column::text(words::NEXT_ATTEMPT),
        Column::text(words::ACTIONS),
    ];
    html! {
        <div class="part" data-testid="deliveries">
            <h2>{ words::DELIVERIES }</h2>
            <p class="soft">{ words::DELIVERIES_WHY }</p>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            { beside(&mutation, &[]) }
            <Table caption={words::DELIVERIES} {columns} rows={count} {row} loaded={list.loaded()}
                empty={html! { <Empty title={words::NO_DELIVERIES} text={words::NO_DELIVERIES_WHY} /> }} />
        </div>
    }
}
