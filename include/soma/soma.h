/**
 * @file
 * All of Soma's public interface in one include.
 */
#ifndef SOMA_SOMA_H
#define SOMA_SOMA_H

#include <soma/agent.h>
#include <soma/error.h>
#include <soma/message.h>
#include <soma/ref.h>
#include <soma/system.h>
#include <soma/type.h>

#endif
