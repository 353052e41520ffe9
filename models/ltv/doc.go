// Package ltv predicts how often customers will buy and what they will spend (DOMAIN 3.2 to 3.4). It is pure maths:
// histories in, parameters and expectations out.
//
//   - BGNBD (Fader, Hardie and Lee 2005) is for purchases that can happen at any time: Poisson purchases at a rate
//     that differs between customers, and after each purchase a chance to leave for good.
//   - BGBB (Fader, Hardie and Shang 2010) is for purchases that can only happen at opportunities: each opportunity
//     an alive customer buys with a chance of their own, and before each one may leave for good. Drops are such
//     opportunities, so it is the one to prefer for them.
//   - GammaGamma gives the spend per purchase of those who bought again, as long as spend and frequency are nearly
//     uncorrelated; Correlation says whether they are.
//
// The first purchase is what makes a customer: it is never a repeat, and its spend is not used. A prediction is an
// expectation over customers with the same history. For one of them it is no guarantee, which is why Calibrate, the
// comparison with what a later window brought, belongs beside every use.
package ltv
