// Package latencyloss estimates how many conversions a drop loses to landing latency above a budget (DOMAIN 5).
// It is pure maths over counts by latency bucket.
//
// Two estimators answer two questions:
//
//   - Buckets and Strata compare the viewers above the budget with those within it: what would the slow ones have done
//     at the rate of the others? No shape is assumed. It answers for a world in which the slow viewers are as fast as
//     those within the budget are on average, not just at the budget, so it is the larger number where the rate falls
//     with every millisecond; and it needs many viewers in every stratum.
//   - Fit is a logistic regression on latency with the controls as dummies, and Loss what Σ p(min(L, b)) − p(L) is
//     under it: the conversions that a cap at the budget would have kept. It borrows strength over strata, so its interval
//     is several times narrower, and it is right as far as the logit is linear in latency and the controls add up.
//
// Fit is the headline; the strata stand beside it as the check that no slope was assumed. Neither makes a cause of
// what is not randomised: both are observational, and peak demand raises latency and intent together, which is why drop age is a control.
//
// Both rest on bucket means of latency. Within a bucket p is nearly linear in latency, so what that loses is
// β²·p·Var/2 of the bucket: less than a thousandth below 800 ms.
package latencyloss
