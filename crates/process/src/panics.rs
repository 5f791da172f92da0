//! Panics: mistakes of ours, which must not go unnoticed, wherever they end.
//!
//! Each is counted in `clickwire_panics_total` and logged once, with its place in the code and the spans it
//! happened in. Its message is not logged: it may quote what somebody has sent.

use std::{panic, thread};

/// Counts and logs every panic of the process from now on.
pub(crate) fn report() {
    panic::set_hook(Box::new(|panic| {
        metrics::counter!("clickwire_panics_total").increment(1);
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        tracing::error!(location, thread = thread.name(), "panicked");
    }));
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use metrics_exporter_prometheus::PrometheusBuilder;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_counted_and_logged_once_without_what_it_quotes() {
        let log = Log::default();
        let lines = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || lines.clone()).finish();
        let recorder = PrometheusBuilder::new().build_recorder();
        let usual = std::panic::take_hook();
        super::report();
        let panicked = tracing::subscriber::with_default(subscriber, || {
            metrics::with_local_recorder(&recorder, || {
                let _request = tracing::error_span!("request", id = "ours-1").entered();
                std::panic::catch_unwind(|| panic!("somebody's secret"))
            })
        });
        std::panic::set_hook(usual);
        assert!(panicked.is_err());
        let rendered = recorder.handle().render();
        assert!(rendered.contains("clickwire_panics_total 1"), "{rendered}");
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains(file!()) && log.contains("ours-1") && !log.contains("secret"), "{log}");
    }
}
