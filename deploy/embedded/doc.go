// Package embedded runs a real Kafka protocol and a real ClickHouse engine on
// one machine without containers, behind the same wire protocols the servers
// speak, so every client works unchanged.
//
// Kafka is franz-go's kfake cluster with its log on disk ([StartKafka]).
//
// ClickHouse is libchdb, the ClickHouse engine as a shared library, loaded
// without cgo into a child process of the running binary ([StartClickHouse]).
// The child speaks ClickHouse's HTTP interface on loopback. It is a separate
// process because the engine cannot be restarted or trusted with a crash
// inside the pipeline: the parent owns the listening socket and the data
// directory lock, restarts a dead child on the same socket, and clients only
// see requests that wait or fail once.
//
// What differs from a ClickHouse server: there is no native TCP protocol; users
// are the one or two configured, not SQL's; nobody may use local files (file(),
// INTO OUTFILE) and INSERT ... SELECT FROM input() is refused; a client's
// query_id is echoed but system.processes shows the engine's own; roles cannot
// be chosen per request; Native blocks are always those of protocol revision 0.
//
//	clickhouse.go  parent: start, supervise, stop the child
//	child.go       child: boot the engine, serve, drain
//	server.go      the HTTP interface: routes, authentication, one request
//	request.go     what a request asks for: parameters, settings, body
//	sql.go         the little lexing needed to split INSERT from its data
//	response.go    formats, compression, summaries, exceptions
//	pool.go        engine connections: roles and settings
//	session.go     connections kept between the requests of one client
//	engine.go      the C interface of libchdb
//	library.go     where the library is and whether it is the pinned one
//	kafka.go       the embedded Kafka cluster, and kafka_recovery.go after a crash
//	lock.go        one process per data directory
package embedded
