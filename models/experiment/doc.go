// Package experiment owns the statistics of randomised experiments that are watched
// while they run (DOMAIN 6): who sees which variant, whether the arms have the
// sizes that the split promises, and what the variant does to a rate.
//
// Everything that is looked at more than once is valid at every look. For the effect
// that is the mixture sequential probability ratio test (Johari, Koomen, Pekelis, Walsh,
// doi 10.1145/3097983.3097992), for the split the sequential multinomial test (Lindon, Malek,
// "Anytime-valid inference for multinomial count data", NeurIPS 2022). The Bayesian numbers and the chi-square test stand
// beside them, for one look each: stopping on them does not control false positives.
package experiment
