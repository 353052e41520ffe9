// Package learning joins scores to what became of the player, and learns from it
// in the stream (DOMAIN 1.2, 1.4).
//
// Rule, in the first stage, keeps the answered scores of a player with the
// vectors that were scored, and the player's session starts and checkouts. When
// the watermark says that the label of a score can no longer change, it
// publishes one event.Example and forgets the score. A label is a statement
// about the whole of [t0+δ, t0+δ+N): before its time there is none, which is
// not the same as false.
//
// Learner, in the rollup stage, trains one FTRL-proximal logistic regression per
// model on the examples, in their order, measures it on every example before it
// learns from it, and publishes candidates that people may promote; it never
// promotes one itself.
//
// Order. Within the allowed lateness an example does not depend on the order in
// which scores, sessions and checkouts arrive: sessions and checkouts are kept
// as long as a score may still come that they belong to, and outcomes are
// computed once, at publication. The examples of one partition leave it in the
// order of their label's end, scoring time and player, so that the learner knows
// one that it has learned from by comparing it with the last.
//
// Which scores count. Probes and warm-up traffic (synthetic) and players without
// the analytics bit of consent make no example, nor do answers without a vector,
// nor players who were absent for longer than the population of DOMAIN 1.2
// allows. Of a model's scores of one player within one interval of
// Config.EveryMS, one makes an example: the earliest whose player was eligible for an offer,
// held out or not, or else the earliest. That choice knows nothing of the arm.
package learning
