//! What there is to know: who has which address, which finder knows it, and whether it takes mail.

use crate::domain::Verdict;
use crate::sandbox::hash::Hash;

/// The seeded truth behind every answer.
pub(super) struct World {
    seed: u64,
    find_rate: u8,
}

/// Whom a finder is asked about.
pub(super) struct Person {
    /// Given name, as sent.
    pub(super) first: String,
    /// Family name, as sent; may be empty.
    pub(super) last: String,
    /// The company's domain, lower case; made up where only its name is known.
    pub(super) domain: String,
}

/// What a finder knows of a person.
pub(super) struct Discovery {
    /// The address.
    pub(super) address: String,
    /// Whether it takes mail; finders do not know an `Invalid` one from a `Valid` one.
    pub(super) truth: Verdict,
    /// The domain forces this outcome, so a vendor's own quirks must not undo it.
    pub(super) forced: bool,
}

/// An outcome forced by the domain; the table is in the room's doc.
enum Scene<'a> {
    Missing,
    Known(Verdict),
    OnlyAt(&'a str),
}

impl World {
    pub(super) const fn new(seed: u64, find_rate: u8) -> Self {
        Self { seed, find_rate }
    }

    /// The start of any other question to a vendor.
    pub(super) fn question(&self, vendor: &str, operation: &str) -> Hash {
        Hash::new(self.seed).text(vendor).text(operation)
    }

    /// The question, as a hash, and what this vendor knows.
    pub(super) fn find(&self, vendor: &str, person: &Person) -> (Hash, Option<Discovery>) {
        let question = Hash::new(self.seed).text(vendor).text("find");
        let question = question.text(&person.first).text(&person.last).text(&person.domain);
        let scene = Scene::of(&person.domain);
        let known = match scene {
            Some(Scene::Missing) => false,
            Some(Scene::Known(_)) => true,
            Some(Scene::OnlyAt(only)) => only == vendor,
            None => question.draw("known", 100) < u64::from(self.find_rate),
        };
        let discovery = known.then(|| {
            let address = person.address();
            Discovery { truth: self.truth(&address), address, forced: scene.is_some() }
        });
        (question, discovery)
    }

    /// The question, as a hash, and this vendor's verdict: the truth, or in 4 of 100 cases, each
    /// vendor's own, no conclusion.
    pub(super) fn judge(&self, vendor: &str, address: &str) -> (Hash, Verdict) {
        let address = address.trim().to_ascii_lowercase();
        let question = Hash::new(self.seed).text(vendor).text("verify").text(&address);
        let truth = self.truth(&address);
        let forced = address.rsplit_once('@').and_then(|(_, domain)| Scene::of(domain)).is_some();
        let verdict = if !forced && question.draw("no conclusion", 100) < 4 { Verdict::Unknown } else { truth };
        (question, verdict)
    }

    /// 80 valid to 8 invalid to 8 catch-all, the same for every vendor. The address in lower case.
    fn truth(&self, address: &str) -> Verdict {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        match Scene::of(domain) {
            Some(Scene::Known(verdict)) => return verdict,
            Some(Scene::OnlyAt(_)) => return Verdict::Valid,
            Some(Scene::Missing) | None => {}
        }
        match Hash::new(self.seed).text(address).draw("truth", 96) {
            0..80 => Verdict::Valid,
            80..88 => Verdict::Invalid,
            _ => Verdict::CatchAll,
        }
    }
}

impl<'a> Scene<'a> {
    fn of(domain: &'a str) -> Option<Self> {
        let label = domain.strip_suffix(".test")?.rsplit('.').next()?;
        match label {
            "hit" => Some(Self::Known(Verdict::Valid)),
            "invalid" => Some(Self::Known(Verdict::Invalid)),
            "catchall" => Some(Self::Known(Verdict::CatchAll)),
            "unknown" => Some(Self::Known(Verdict::Unknown)),
            "miss" => Some(Self::Missing),
            _ => label.strip_prefix("only-").map(Self::OnlyAt),
        }
    }
}

impl Person {
    /// By name, in two parts or in one, and company, by domain or by name. `None` when either is missing.
    pub(super) fn by_name(first: &str, last: &str, full: &str, company: &str) -> Option<Self> {
        let (first, last) = match (first.trim(), last.trim()) {
            ("", "") => full.trim().rsplit_once(' ').unwrap_or((full.trim(), "")),
            parts => parts,
        };
        let company = company.trim();
        if (first.is_empty() && last.is_empty()) || company.is_empty() {
            return None;
        }
        Some(Self { first: first.trim_end().to_owned(), last: last.to_owned(), domain: domain_of(company) })
    }

    /// By LinkedIn profile: a full URL, `in/slug`, or a bare slug. `None` for a company's page.
    pub(super) fn by_profile(url: &str) -> Option<Self> {
        let path = url.trim().split(['?', '#']).next()?.trim_end_matches('/');
        let slug = path.rsplit('/').next()?;
        if slug.is_empty() || path.contains("/company/") {
            return None;
        }
        let (first, last) = slug.split_once('-').unwrap_or((slug, ""));
        let employer = Hash::new(0).text(slug).draw("employer", 1_000);
        Some(Self { first: first.to_owned(), last: last.to_owned(), domain: format!("employer-{employer}.co.test") })
    }

    fn address(&self) -> String {
        let plain = |name: &str| {
            let letters = name.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|c| c.to_ascii_lowercase()).collect::<String>()
        };
        match (plain(&self.first), plain(&self.last)) {
            (first, last) if first.is_empty() && last.is_empty() => format!("contact@{}", self.domain),
            (one, none) | (none, one) if none.is_empty() => format!("{one}@{}", self.domain),
            (first, last) => format!("{first}.{last}@{}", self.domain),
        }
    }
}

/// The labels of a host, in lower case, that ends in `.test`: words that may force an outcome. Of any
/// other host, none.
pub(super) fn labels(host: &str) -> impl Iterator<Item = &str> {
    host.strip_suffix(".test").into_iter().flat_map(|labels| labels.split('.'))
}

/// The domain in a domain or website, or one made up from a company's name.
pub(super) fn domain_of(company: &str) -> String {
    let company = company.to_ascii_lowercase();
    let host = company.split_once("://").map_or(company.as_str(), |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host).trim_start_matches("www.");
    if host.contains('.') && !host.contains(' ') {
        return host.to_owned();
    }
    let name: String = company.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{name}.co.test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_the_same_in_every_spelling() {
        let world = World::new(1, 62);
        let question = |person: Option<Person>| world.find("prospeo", &person.unwrap()).0;
        let parts = question(Person::by_name("Ada", "Sample", "", "acme.test"));
        assert_eq!(parts, question(Person::by_name("", "", "ADA  Sample", "https://www.acme.test/about")));
        assert_ne!(parts, question(Person::by_name("Ada", "Sample", "", "Acme Widgets")));
    }

    #[test]
    fn domains_force_the_outcome() {
        let world = World::new(1, 62);
        let truth = |vendor, company| {
            let person = Person::by_name("Ada", "Sample", "", company).unwrap();
            world.find(vendor, &person).1.map(|discovery| discovery.truth)
        };
        for (company, at_leadmagic, at_prospeo) in [
            ("a.hit.test", Some(Verdict::Valid), Some(Verdict::Valid)),
            ("a.miss.test", None, None),
            ("a.invalid.test", Some(Verdict::Invalid), Some(Verdict::Invalid)),
            ("a.catchall.test", Some(Verdict::CatchAll), Some(Verdict::CatchAll)),
            ("a.unknown.test", Some(Verdict::Unknown), Some(Verdict::Unknown)),
            ("a.only-leadmagic.test", Some(Verdict::Valid), None),
        ] {
            assert_eq!(truth("leadmagic", company), at_leadmagic, "{company}");
            assert_eq!(truth("prospeo", company), at_prospeo, "{company}");
        }
    }

    #[test]
    fn only_test_hosts_have_words() {
        assert_eq!(labels("gone.acme.test").collect::<Vec<_>>(), ["gone", "acme"]);
        assert_eq!(labels("gone.acme.com").count(), 0);
    }

    #[test]
    fn verdicts_come_in_the_stated_mix() {
        let world = World::new(3, 62);
        let verdicts: Vec<_> = (0..10_000).map(|n| world.judge("zerobounce", &format!("p{n}@acme.test")).1).collect();
        let share = |wanted| verdicts.iter().filter(|&&verdict| verdict == wanted).count() / 100;
        for (verdict, about) in
            [(Verdict::Valid, 80), (Verdict::Invalid, 8), (Verdict::CatchAll, 8), (Verdict::Unknown, 4)]
        {
            assert!(share(verdict).abs_diff(about) <= 2, "{verdict:?}: {}", share(verdict));
        }
    }
}
