//! What does the app do between SIGTERM and its end?

use super::clock::AppLog;
use super::notify::notify;
use super::server::Server;
use super::settings::{OnTerm, Settings};
use tokio::time::sleep;

/// Comes back when the app has nothing left to do.
pub(super) async fn shut_down(settings: &Settings, server: &Server, log: &AppLog) {
    match settings.on_term {
        OnTerm::Exit => return,
        OnTerm::Refuse => {
            server.refuse();
            tokio::join!(sleep(settings.cleanup), notify(settings, log));
        }
        // An app that serves on tells its peers meanwhile; one that drains does so in its cleanup.
        OnTerm::Drain | OnTerm::Ignore if !settings.serve_on.is_zero() => {
            let served = async {
                sleep(settings.serve_on).await;
                drain(settings, server, log).await;
                sleep(settings.cleanup).await;
            };
            tokio::join!(served, notify(settings, log));
        }
        OnTerm::Drain | OnTerm::Ignore => {
            drain(settings, server, log).await;
            tokio::join!(sleep(settings.cleanup), notify(settings, log));
        }
    }
    log.say("shutdown complete");
}

/// Before it closes what is idle, an app in good manners says `Connection: close` to whoever asks.
async fn part(settings: &Settings, server: &Server) {
    if !settings.parting.is_zero() {
        server.part();
        sleep(settings.parting).await;
    }
}

async fn drain(settings: &Settings, server: &Server, log: &AppLog) {
    part(settings, server).await;
    server.drain().await;
    log.say("drained");
}
