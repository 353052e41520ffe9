package main

// FeaturesCmd groups what feature stores need.
type FeaturesCmd struct {
	Serve FeaturesServeCmd `cmd:"" help:"Serve the features of players over HTTP, against a real Kafka."`
	List  FeaturesListCmd  `cmd:"" help:"Print what each feature is: type, unit, meaning."`
}
