/**
 * @file
 * All of Soma's public interface in one include.
 */
#ifndef SOMA_SOMA_H
#define SOMA_SOMA_H

#include <soma/address.h>
#include <soma/agent.h>
#include <soma/attribute.h>
#include <soma/body.h>
#include <soma/bridge.h>
#include <soma/channel.h>
#include <soma/dead_letter.h>
#include <soma/error.h>
#include <soma/keep.h>
#include <soma/log.h>
#include <soma/message.h>
#include <soma/method.h>
#include <soma/monitor.h>
#include <soma/nameservice.h>
#include <soma/proxy.h>
#include <soma/ref.h>
#include <soma/request.h>
#include <soma/router.h>
#include <soma/supervisor.h>
#include <soma/system.h>
#include <soma/timer.h>
#include <soma/type.h>
#include <soma/value.h>
#include <soma/watch.h>

#endif
