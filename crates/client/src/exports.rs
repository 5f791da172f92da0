//! Reports and clicks as files, piece by piece: of any length, in the memory of one piece.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use clickwire_protocol::report::Granularity;
use futures_util::Stream;
use hyper::{
    Method,
    body::{Body as _, Incoming},
    header::CONTENT_DISPOSITION,
};
use tokio::time::{Sleep, sleep};

use crate::{
    ClickQuery, Error, Grouping, ReportQuery, Server,
    connection::{broken, whole},
    questions::Parameters,
};

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// A breakdown.
    Breakdown(ReportQuery, Grouping),
    /// A time series; without a granularity the server chooses one.
    Timeseries(ReportQuery, Option<Granularity>, Grouping),
    /// Clicks one by one, the earliest first.
    Clicks(ClickQuery),
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180 with a header line; with a byte order mark Excel knows that it is UTF-8.
    Csv {
        /// The file has a byte order mark.
        bom: bool,
    },
    /// A JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// An IPC stream of Apache Arrow.
    Arrow,
    /// A workbook for Excel; the server makes it whole before it sends it.
    Xlsx,
}

impl Format {
    fn parameters(self) -> Parameters {
        let name = match self {
            Self::Csv { .. } => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Xlsx => "xlsx",
        };
        let bom = (self == Self::Csv { bom: true }).then_some("true");
        Parameters::default().text("format", Some(name)).text("bom", bom)
    }
}

impl File {
    fn path(&self, format: Format) -> Result<String, Error> {
        let (path, asked) = match self {
            Self::Breakdown(query, grouping) => {
                ("/api/v1/exports/breakdown", query.parameters()?.and(&grouping.parameters()))
            }
            Self::Timeseries(query, granularity, grouping) => {
                let asked = query.parameters()?.and(&grouping.parameters());
                let asked = asked.text("granularity", granularity.map(Granularity::as_str));
                ("/api/v1/exports/timeseries", asked)
            }
            Self::Clicks(query) => ("/api/v1/exports/clicks", query.parameters()?),
        };
        Ok(format.parameters().and(&asked).of(path))
    }
}

impl Server {
    /// Begins to export. The file comes over a connection of its own, as fast as it is read; dropping it ends the
    /// export.
    ///
    /// # Errors
    /// See [`Error`]; one that happens later is the last item of the stream.
    pub async fn export(&self, file: &File, format: Format) -> Result<Export, Error> {
        let path = file.path(format)?;
        let (head, body, sender) = self.connection().begin(Method::GET, &path, &[], Vec::new()).await?;
        if !head.status.is_success() {
            let body = whole(head.status, body, self.patience()).await?;
            return Err(Error::told(&head, &body));
        }
        let name = head.headers.get(CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
        let name = name.and_then(|value| value.split_once("filename=\"")?.1.strip_suffix('"'));
        Ok(Export {
            name: name.map(str::to_owned),
            body: Some(body),
            _sender: Box::new(sender),
            patience: self.patience(),
            idle: None,
        })
    }
}

/// A file that is on its way: a stream of its bytes. It ends with an error where the file is not whole.
pub struct Export {
    name: Option<String>,
    body: Option<Incoming>,
    /// The connection ends with it.
    _sender: Box<dyn Send + Sync>,
    patience: Duration,
    /// The time until which the next piece must be here, while one is waited for.
    idle: Option<Pin<Box<Sleep>>>,
}

impl Export {
    /// The file's name, as the server proposes it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl Stream for Export {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let polled = Pin::new(body).poll_frame(context);
            if polled.is_ready() {
                self.idle = None;
            }
            match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    // What is no data are trailers, which nobody needs.
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    return Poll::Ready(Some(Err(broken(error))));
                }
                Poll::Ready(None) => {
                    self.body = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    // Not the time that the reader takes.
                    let patience = self.patience;
                    let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(patience)));
                    if idle.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    self.body = None;
                    return Poll::Ready(Some(Err(Error::TooLate)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_asked_for_by_its_format_and_its_question() {
        let clicks = File::Clicks(ClickQuery { user_id: Some("u".to_owned()), ..ClickQuery::default() });
        assert_eq!(
            clicks.path(Format::Csv { bom: true }).unwrap(),
            "/api/v1/exports/clicks?format=csv&bom=true&user_id=u"
        );
        let series = File::Timeseries(ReportQuery::default(), Some(Granularity::Day), Grouping::default());
        assert_eq!(
            series.path(Format::Parquet).unwrap(),
            "/api/v1/exports/timeseries?format=parquet&granularity=day"
        );
    }
}
