//! Whose key an attempt is made with: the table of DESIGN §3.1.

use crate::domain::Operation;
use crate::keys::settings::OwnKeyFallback;
use crate::keys::settings::WorkspacePlan;
use crate::keys::settings::WorkspaceSettings;

/// Whose key an attempt is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The workspace's own: nothing is charged, and a key that fails ends it.
    Own,
    /// The house's: held and charged.
    House,
    /// The workspace's own, and when that fails the house's, which is charged: the workspace allows it.
    OwnThenHouse,
    /// The source that is due has no key. The other one is not taken instead, in either direction.
    Nothing,
}

/// Chooses by plan and operation, once per attempt. `has_own`: the workspace has stored a key for
/// this provider. `has_house`: the configuration has one.
pub const fn choose(settings: &WorkspaceSettings, operation: Operation, has_own: bool, has_house: bool) -> Choice {
    if has_own && takes_own(settings.plan, operation) {
        match settings.own_key_fallback {
            OwnKeyFallback::House if has_house => Choice::OwnThenHouse,
            OwnKeyFallback::House | OwnKeyFallback::Never => Choice::Own,
        }
    } else if has_house {
        Choice::House
    } else {
        Choice::Nothing
    }
}

/// Does this plan use an own key where there is one? For copy every plan does, for everything else
/// only `unlimited`.
const fn takes_own(plan: WorkspacePlan, operation: Operation) -> bool {
    match operation {
        Operation::WriteCopy => true,
        Operation::FindEmail | Operation::VerifyEmail | Operation::Scrape => match plan {
            WorkspacePlan::Metered => false,
            WorkspacePlan::Unlimited => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::Expect;
    use expect_test::expect;

    /// One line for each plan, stored keys and fallback.
    fn check(operation: Operation, expected: &Expect) {
        let mut lines = String::new();
        for plan in [WorkspacePlan::Unlimited, WorkspacePlan::Metered] {
            for (keys, has_own, has_house) in
                [("own and house", true, true), ("own", true, false), ("house", false, true), ("none", false, false)]
            {
                for own_key_fallback in [OwnKeyFallback::Never, OwnKeyFallback::House] {
                    let settings = WorkspaceSettings { plan, own_key_fallback, ..WorkspaceSettings::new() };
                    let choice = choose(&settings, operation, has_own, has_house);
                    let (plan, fallback) = (plan.as_str(), own_key_fallback.as_str());
                    lines += &format!("{plan:<9} | keys {keys:<13} | fallback {fallback} | {choice:?}\n");
                }
            }
        }
        expected.assert_eq(&lines);
    }

    #[test]
    fn enrichment_takes_an_own_key_on_the_unlimited_plan_alone() {
        let expected = expect![[r#"
            unlimited | keys own and house | fallback never | Own
            unlimited | keys own and house | fallback house | OwnThenHouse
            unlimited | keys own           | fallback never | Own
            unlimited | keys own           | fallback house | Own
            unlimited | keys house         | fallback never | House
            unlimited | keys house         | fallback house | House
            unlimited | keys none          | fallback never | Nothing
            unlimited | keys none          | fallback house | Nothing
            metered   | keys own and house | fallback never | House
            metered   | keys own and house | fallback house | House
            metered   | keys own           | fallback never | Nothing
            metered   | keys own           | fallback house | Nothing
            metered   | keys house         | fallback never | House
            metered   | keys house         | fallback house | House
            metered   | keys none          | fallback never | Nothing
            metered   | keys none          | fallback house | Nothing
        "#]];
        check(Operation::FindEmail, &expected);
        check(Operation::VerifyEmail, &expected);
    }
}
