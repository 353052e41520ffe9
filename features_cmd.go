package main

// FeaturesCmd groups what feature stores and trainers of models need.
type FeaturesCmd struct {
	Serve       FeaturesServeCmd       `cmd:"" help:"Serve the features of players over HTTP, against a real Kafka."`
	Export      FeaturesExportCmd      `cmd:"" help:"Write the history of features as hourly Parquet or Arrow files."`
	TrainingSet FeaturesTrainingSetCmd `cmd:"" name:"training-set" help:"Write a training set: features as they were known, and what became of the players."`
	Check       FeaturesCheckCmd       `cmd:"" help:"Look for leaks: rows of a training set that know what nobody could know at the time."`
	Flight      FeaturesFlightCmd      `cmd:"" help:"Serve features over Arrow Flight."`
	List        FeaturesListCmd        `cmd:"" help:"Print what each feature is: type, unit, meaning."`
}
