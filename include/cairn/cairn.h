// Everything a program needs: #include <cairn/cairn.h>
#pragma once
#include "cairn/bytes.h"
#include "cairn/database.h"
#include "cairn/forks.h"
#include "cairn/result.h"
#include "cairn/sealed_file.h"
#include "cairn/table.h"
#include "cairn/timeline.h"
