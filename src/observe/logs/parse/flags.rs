//! Why did Envoy not simply pass a response on (facts 4.3)?

use std::borrow::Cow;

/// The response flags of an access line: a set, whose order differs between builds of Envoy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseFlags<'a>(Cow<'a, str>);

/// Long names (`%RESPONSE_FLAGS_LONG%`) and the short ones that everybody uses.
const LONG_NAMES: &[(&str, &str)] = &[
    ("FailedLocalHealthCheck", "LH"),
    ("NoHealthyUpstream", "UH"),
    ("UpstreamRequestTimeout", "UT"),
    ("LocalReset", "LR"),
    ("UpstreamRemoteReset", "UR"),
    ("UpstreamConnectionFailure", "UF"),
    ("UpstreamConnectionTermination", "UC"),
    ("UpstreamOverflow", "UO"),
    ("NoRouteFound", "NR"),
    ("DelayInjected", "DI"),
    ("FaultInjected", "FI"),
    ("RateLimited", "RL"),
    ("UnauthorizedExternalService", "UAEX"),
    ("RateLimitServiceError", "RLSE"),
    ("DownstreamConnectionTermination", "DC"),
    ("UpstreamRetryLimitExceeded", "URX"),
    ("StreamIdleTimeout", "SI"),
    ("InvalidEnvoyRequestHeaders", "IH"),
    ("DownstreamProtocolError", "DPE"),
    ("UpstreamProtocolError", "UPE"),
    ("UpstreamMaxStreamDurationReached", "UMSDR"),
    ("ResponseFromCacheFilter", "RFCF"),
    ("NoFilterConfigFound", "NFCF"),
    ("DurationTimeout", "DT"),
    ("OverloadManagerTerminated", "OM"),
    ("DnsResolutionFailed", "DF"),
    ("DropOverload", "DO"),
    ("DownstreamRemoteReset", "DR"),
    ("NoClusterFound", "NC"),
];

impl<'a> ResponseFlags<'a> {
    pub(super) const fn new(text: Cow<'a, str>) -> Self {
        Self(text)
    }

    /// Each flag once, by its short name, in the order of the line; none for `-`.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        tokens(&self.0)
            .enumerate()
            .filter(|(index, flag)| !tokens(&self.0).take(*index).any(|before| before == *flag))
            .map(|(_, flag)| flag)
    }

    /// Whether a flag is set, by its short name.
    pub fn contains(&self, flag: &str) -> bool {
        tokens(&self.0).any(|own| own == flag)
    }

    /// Whether no flag is set.
    pub fn is_empty(&self) -> bool {
        tokens(&self.0).next().is_none()
    }

    pub(super) fn into_owned(self) -> ResponseFlags<'static> {
        ResponseFlags(Cow::Owned(self.0.into_owned()))
    }
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '|'])
        .filter(|flag| !flag.is_empty() && *flag != "-")
        .map(short)
}

fn short(name: &str) -> &str {
    // Short names have at most five letters.
    if name.len() <= 5 {
        return name;
    }
    LONG_NAMES
        .iter()
        .find(|(long, _)| *long == name)
        .map_or(name, |(_, short)| short)
}

/// Whether a word can be the flags of a line: `-`, or names and commas.
pub(super) fn plausible(word: &str) -> bool {
    word == "-"
        || (!word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b','))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> ResponseFlags<'_> {
        ResponseFlags::new(Cow::Borrowed(text))
    }

    #[test]
    fn flags_are_a_set_in_any_order() {
        assert!(flags("UF,URX").contains("URX"));
        assert!(flags("URX,UF").contains("UF"));
        assert!(!flags("URX,UF").contains("U"));
        assert_eq!(flags("UF,UF,URX").iter().collect::<Vec<_>>(), ["UF", "URX"]);
        assert!(flags("-").is_empty());
    }

    #[test]
    fn long_names_are_told_by_their_short_ones() {
        assert!(flags("UpstreamConnectionFailure,XY").contains("UF"));
        assert_eq!(
            flags("SomethingQuiteNew").iter().next(),
            Some("SomethingQuiteNew")
        );
    }
}
