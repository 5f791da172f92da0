//! A short tone, made by an oscillator (Web Audio API).

use std::cell::RefCell;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::AudioContext;

use crate::clock;

const FREQUENCY_HZ: f32 = 880.0;
const VOLUME: f32 = 0.2;
const SECONDS: f64 = 0.5;

/// A tone that comes later than this, in milliseconds, says nothing any more.
const LATE_MS: i64 = 3_000;

thread_local! {
    // A browser allows a page a few of them only.
    static CONTEXT: RefCell<Option<AudioContext>> = const { RefCell::new(None) };
}

/// Plays the tone. A browser that lets a page sound only after it was used stays silent until then.
pub fn play() {
    spawn_local(async {
        let asked_ms = clock::now_ms();
        let Some(context) = context() else { return };
        let Ok(resumed) = context.resume() else { return };
        if JsFuture::from(resumed).await.is_ok() && clock::now_ms() - asked_ms < LATE_MS {
            // It fails only where the browser gives no sound at all.
            tone(&context).ok();
        }
    });
}

fn context() -> Option<AudioContext> {
    CONTEXT.with_borrow_mut(|context| {
        if context.is_none() {
            *context = AudioContext::new().ok();
        }
        context.clone()
    })
}

fn tone(context: &AudioContext) -> Result<(), JsValue> {
    let (oscillator, volume) = (context.create_oscillator()?, context.create_gain()?);
    let (now, end) = (context.current_time(), context.current_time() + SECONDS);
    oscillator.frequency().set_value(FREQUENCY_HZ);
    volume.gain().set_value_at_time(VOLUME, now)?;
    // It fades: a tone that is cut cracks.
    volume.gain().linear_ramp_to_value_at_time(0.0, end)?;
    oscillator.connect_with_audio_node(&volume)?;
    volume.connect_with_audio_node(&context.destination())?;
    oscillator.start()?;
    oscillator.stop_with_when(end)
}
