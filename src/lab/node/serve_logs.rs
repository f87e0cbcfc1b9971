//! How does a node answer for its logs, as the kubelet's log endpoint does?

use super::logs::{Instance, Line, LogBook};
use crate::lab::api::{LogRequest, LogSource, LogStream};
use crate::lab::store::Status;
use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

impl LogSource for LogBook {
    fn open(&self, request: LogRequest) -> Result<LogStream, Status> {
        let LogRequest { container, pod, .. } = &request;
        let Some(instance) = self.find(&request.uid, container, request.previous) else {
            return Err(Status::bad_request(&if request.previous {
                format!("previous terminated container \"{container}\" in pod \"{pod}\" not found")
            } else {
                format!(
                    "container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating"
                )
            }));
        };
        if instance.removed() {
            // As a real kubelet: inside the body of a 200.
            let text = format!("unable to retrieve container logs for {}", instance.id);
            return Ok(stream::once(async { Ok(Bytes::from(text)) }).boxed());
        }
        let since = request.since_time.or_else(|| {
            let seconds = request.since_seconds?;
            Some(Timestamp::now() - SignedDuration::from_secs(seconds))
        });
        let reader = Reader {
            next: instance.first(request.tail_lines),
            instance,
            since,
            timestamps: request.timestamps,
            follow: request.follow,
            left: request.limit_bytes,
        };
        Ok(stream::unfold(reader, Reader::chunk).boxed())
    }
}

/// One who reads a log.
struct Reader {
    instance: Arc<Instance>,
    next: u64,
    since: Option<Timestamp>,
    timestamps: bool,
    follow: bool,
    left: Option<u64>,
}

impl Reader {
    async fn chunk(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        loop {
            if self.left == Some(0) {
                return None;
            }
            let (lines, next) = self.instance.read(self.next);
            self.next = next;
            let text: String = lines
                .iter()
                .filter(|line| self.since.is_none_or(|since| line.stamp >= since))
                .map(|line| format_line(line, self.timestamps))
                .collect();
            if !text.is_empty() {
                let bytes = self.limited(text.into_bytes());
                return Some((Ok(bytes.into()), self));
            }
            if !self.follow || !self.instance.wait_for(self.next).await {
                return None;
            }
        }
    }

    fn limited(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some(left) = &mut self.left {
            let room = usize::try_from(*left).unwrap_or(usize::MAX);
            bytes.truncate(room);
            *left -= bytes.len() as u64;
        }
        bytes
    }
}

/// The line, behind its stamp with nine digits of a second when that is asked for.
fn format_line(line: &Line, timestamps: bool) -> String {
    if timestamps {
        let stamp = line.stamp.strftime("%Y-%m-%dT%H:%M:%S.%9fZ");
        format!("{stamp} {}\n", line.text)
    } else {
        format!("{}\n", line.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> LogRequest {
        LogRequest {
            namespace: "default".to_owned(),
            pod: "demo-1".to_owned(),
            uid: "u".to_owned(),
            container: "app".to_owned(),
            follow: false,
            previous: false,
            timestamps: false,
            since_time: None,
            since_seconds: None,
            tail_lines: None,
            limit_bytes: None,
        }
    }

    async fn book() -> LogBook {
        let book = LogBook::default();
        let log = book.begin("u", "app", "containerd://1");
        let seconds = std::cell::Cell::new(0);
        let clock = || {
            seconds.set(seconds.get() + 1);
            Timestamp::from_second(seconds.get()).expect("small")
        };
        log.copy(&b"one\ntwo\nthree\n"[..], clock, SignedDuration::ZERO)
            .await;
        book
    }

    async fn read(book: &LogBook, request: LogRequest) -> String {
        let chunks: Vec<_> = book.open(request).expect("a log").collect().await;
        let bytes: Vec<_> = chunks
            .into_iter()
            .map(|chunk| chunk.expect("bytes"))
            .collect();
        String::from_utf8(bytes.concat()).expect("text")
    }

    #[tokio::test]
    async fn the_parameters_cut_the_log_as_a_kubelet_does() {
        let book = book().await;
        let all = request();
        assert_eq!(read(&book, all.clone()).await, "one\ntwo\nthree\n");
        let tail = LogRequest {
            tail_lines: Some(1),
            timestamps: true,
            ..all.clone()
        };
        assert_eq!(
            read(&book, tail).await,
            "1970-01-01T00:00:03.000000000Z three\n"
        );
        let since = LogRequest {
            since_time: Timestamp::from_second(2).ok(),
            ..all.clone()
        };
        assert_eq!(read(&book, since).await, "two\nthree\n");
        let limit = LogRequest {
            limit_bytes: Some(5),
            ..all
        };
        assert_eq!(read(&book, limit).await, "one\nt");
    }

    #[tokio::test]
    async fn a_follower_gets_the_end_of_the_log_and_then_its_end() {
        let book = book().await;
        let log = book.find("u", "app", false).expect("an instance");
        let follow = LogRequest {
            follow: true,
            tail_lines: Some(0),
            ..request()
        };
        let mut stream = book.open(follow).expect("a log");
        log.copy(
            &b"last words\n"[..],
            || Timestamp::UNIX_EPOCH,
            SignedDuration::ZERO,
        )
        .await;
        log.end();
        assert_eq!(
            stream.next().await.expect("a chunk").expect("bytes"),
            "last words\n"
        );
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_in_the_kubelets_words() {
        let book = book().await;
        let previous = LogRequest {
            previous: true,
            ..request()
        };
        let error = book.open(previous).err().expect("none ended");
        assert_eq!(
            error.message,
            "previous terminated container \"app\" in pod \"demo-1\" not found"
        );
        book.remove("u");
        assert_eq!(
            read(&book, request()).await,
            "unable to retrieve container logs for containerd://1"
        );
    }
}
