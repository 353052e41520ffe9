// Package edge answers, for one player and within a deadline, what the models say
// now: POST /v1/decide gives a churn score, a micro-offer and a list of assets to prefetch.
// It owns the registry of models in memory, which swaps champion and shadow while
// requests run, and the record of every answer, from which outcomes are learned.
//
// Nothing here waits for another machine: features, models, catalogue, stock and
// beliefs are in memory, fed by whoever follows their topics. What cannot be answered well in time is answered
// with the base rate, no offer, and the reason.
package edge
