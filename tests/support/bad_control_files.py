"""Control files of the simulated GPUs that are refused."""

BAD_CONTROL = {
    "no count": "memory_mib=5\n",
    "empty": "",
    "count above 16": "count=17\n",
    "negative count": "count=-1\n",
    "count with text": "count=2x\n",
    "count without value": "count=\n",
    "count with a space": "count= 2\n",
    "no equals sign": "count 2\n",
    "unknown key": "count=1\ncolour=red\n",
    "unknown fault": "count=1\nfault=broken\n",
    "capability without minor": "count=1\ncompute_capability=8\n",
    "capability with empty entry": "count=2\ncompute_capability=8.0,\n",
    "too few capabilities": "count=3\ncompute_capability=8.0,7.0\n",
    "no memory": "count=1\nmemory_mib=0\n",
    "huge memory": "count=1\nmemory_mib=99999999999999999999\n",
    "binary": "count=1\n\0\n",
    "too long": "count=1\n" + "#" * 5000,
}
