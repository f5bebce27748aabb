package bench

const crowdMark = "WINDLASS_BENCH_CROWD"

func crowd() {}
